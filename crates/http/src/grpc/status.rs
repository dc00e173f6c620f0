//! The status codes of gRPC.

use std::fmt;

use http::StatusCode;

/// How a gRPC call ended.
///
/// The numbers are those of [the protocol]; a number that it does not know is
/// [`Unknown`](Self::Unknown).
///
/// [the protocol]: https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the protocol closes the set: others are UNKNOWN"
)]
pub enum GrpcStatus {
    /// It succeeded.
    Ok = 0,
    /// It was cancelled, usually by the caller.
    Cancelled = 1,
    /// Nobody knows, or the code is one that we do not know.
    Unknown = 2,
    /// The request is wrong, whatever the state of the system.
    InvalidArgument = 3,
    /// Time ran out before it was over.
    DeadlineExceeded = 4,
    /// What was asked for is not there.
    NotFound = 5,
    /// What was to be made is there already.
    AlreadyExists = 6,
    /// The caller is known and may not.
    PermissionDenied = 7,
    /// A quota or a limit is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs.
    FailedPrecondition = 9,
    /// A concurrent call got in between.
    Aborted = 10,
    /// Past the end of what there is.
    OutOfRange = 11,
    /// The method is not there, or not supported.
    Unimplemented = 12,
    /// Something that must hold did not.
    Internal = 13,
    /// Not at the moment; the caller may try again.
    Unavailable = 14,
    /// Data is lost or corrupt.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

// ===== impl GrpcStatus =====

impl GrpcStatus {
    /// All of them; each stands at the place of its number.
    const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The status of this number; [`Unknown`](Self::Unknown) if there is none.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        let place = usize::try_from(code).unwrap_or(usize::MAX);
        Self::ALL.get(place).copied().unwrap_or(Self::Unknown)
    }

    /// What the call counts as when an HTTP response without `grpc-status` ends it, by gRPC's
    /// [mapping].
    ///
    /// A proxy on the way answers like that.
    /// 200 is no exception: a gRPC response that ends without a status is
    /// [`Unknown`](Self::Unknown).
    ///
    /// [mapping]: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
    #[must_use]
    pub fn from_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// The number on the wire, 0 to 16.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name in the specification, such as `DEADLINE_EXCEEDED`; OpenTelemetry wants the same.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
