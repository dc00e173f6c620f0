//! What must hold for any bytes at all: the bodies of the fuzz targets, which the test `corpus` replays on every run of the test command.

mod forwarded;
mod guarded;
mod headers;
mod rate_limit;
mod replayed;
mod script;
mod structured;

/// One check of arbitrary bytes.
pub(crate) type Check = fn(&[u8]);

/// The targets by name, as their corpora are called.
pub(crate) const ALL: [(&str, Check); 9] = [
    ("retry_after", headers::retry_after),
    ("grpc_timeout", headers::grpc_timeout),
    ("deadline_headers", headers::deadline_headers),
    ("grpc_end", headers::grpc_end),
    ("string_item", structured::string_item),
    ("forwarded", forwarded::forwarded),
    ("rate_limit", rate_limit::rate_limit),
    ("replay_body", replayed::replay_body),
    ("guarded_body", guarded::guarded_body),
];

/// The check of one target.
pub(crate) fn run(target: &str, input: &[u8]) {
    let (_, check) = ALL
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target of this list");
    check(input);
}
