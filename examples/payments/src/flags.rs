//! The command line: where to listen, whether an outside card gateway is charged, where keys are kept, and how often one caller may pay, and how it ends.

use std::{ffi::OsStr, net::SocketAddr, time::Duration};

use axum::http::Uri;
use clap::{
    Arg, Command, Parser,
    builder::TypedValueParser,
    error::{Error, ErrorKind},
};

use crate::{callers::Rate, key_store::KeyStore};

/// A payments service that survives its upstreams: the seaworthy demo.
///
/// Starts the payments API (HTTP and gRPC) and the two upstreams it depends on, a card gateway
/// and a fraud service, all on loopback. Break the upstreams and watch the payments go on.
#[derive(Clone, Debug, Parser)]
#[command(name = "payments", version)]
#[non_exhaustive]
pub struct Flags {
    /// Where the payments API listens (HTTP); port 0 takes any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    pub listen: SocketAddr,

    /// Where the payments API listens (gRPC)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051", value_parser = address)]
    pub grpc: SocketAddr,

    /// Where the built-in card gateway listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = address)]
    pub gateway_listen: SocketAddr,

    /// Charge this card gateway, at URL/charge, instead of the built-in one, which then is not
    /// started
    #[arg(long, value_name = "URL", value_parser = Private(gateway_url))]
    pub gateway: Option<Uri>,

    /// Where idempotency keys are kept, with the answers to them: `memory`, `redb:PATH`,
    /// `redis://HOST:PORT` or `postgres://USER@HOST/DATABASE`
    #[arg(long, value_name = "STORE", default_value = "memory", value_parser = Private(str::parse::<KeyStore>))]
    pub store: KeyStore,

    /// How often one address may pay, over HTTP and gRPC together: so many a second (`20/s`), a
    /// minute (`100/m`) or an hour (`1000/h`), all of which may come at once; of IPv6, a /64 is one
    /// address
    #[arg(long, value_name = "RATE", default_value = "100/s", allow_hyphen_values = true, value_parser = str::parse::<Rate>)]
    pub rate: Rate,

    /// How many proxies stand in front of the demo: the caller is then whom the outermost of them
    /// names in `X-Forwarded-For`; with 0 nobody is believed, and the caller is who connects
    #[arg(long, value_name = "PROXIES", default_value = "0", allow_hyphen_values = true, value_parser = proxies)]
    pub trust_forwarded: usize,

    /// For how long new calls are still taken after Ctrl-C or SIGTERM, while `/health/ready` is 503
    /// already: `1s`, `500ms`; with `0s` none are
    #[arg(long, value_name = "TIME", default_value = "1s", allow_hyphen_values = true, value_parser = grace)]
    pub grace: Duration,
}

/// Reads a value that may have a password in it: the error does not repeat it, as that of clap does.
#[derive(Clone)]
struct Private<T>(fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Private<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, flag: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let Self(read) = self;
        let text = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned());
        text.and_then(read).map_err(|why| {
            let flag = flag.map(Arg::to_string).unwrap_or_default();
            let message = format!("invalid value for '{flag}': {why}");
            command.clone().error(ErrorKind::ValueValidation, message)
        })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    // People type `localhost:8080`; a name cannot be a socket address, so it is spelt out.
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        "expected an IP address and a port, such as 127.0.0.1:8080 (port 0 means any free port)"
            .to_owned()
    })
}

fn proxies(text: &str) -> Result<usize, String> {
    let proxies: Option<u8> = text.parse().ok();
    proxies.map(usize::from).ok_or_else(|| {
        "expected how many proxies stand in front, such as 1, and at most 255".to_owned()
    })
}

fn grace(text: &str) -> Result<Duration, String> {
    let expected = "expected a time such as 1s or 500ms";
    let wrong = |why| Err(format!("{expected}; {why}"));
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "" => return wrong("the unit is missing"),
        _ if number.is_empty() => return wrong("it is to begin with a whole number"),
        _ => return wrong("the number is to be a whole one, and the unit s or ms"),
    };
    if number.is_empty() {
        return wrong("the number is missing");
    }
    // Beyond what a number holds is also beyond an hour.
    let number: u64 = number.parse().unwrap_or(u64::MAX);
    let grace = Duration::from_millis(number.saturating_mul(scale));
    if grace > MAX_GRACE {
        return wrong("nobody waits for longer than an hour, 3600s");
    }
    Ok(grace)
}

/// Whoever stops a process kills it long before.
const MAX_GRACE: Duration = Duration::from_secs(3_600);

fn gateway_url(text: &str) -> Result<Uri, String> {
    let expected = "expected a URL such as http://127.0.0.1:9000";
    let url: Uri = text
        .parse()
        .map_err(|error| format!("{expected} ({error})"))?;
    match url.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(format!("{expected}; the demo does not speak TLS")),
        _ => return Err(format!("{expected}; the scheme `http://` is missing")),
    }
    if url.host().is_none_or(str::is_empty) {
        return Err(format!("{expected}; the host is missing"));
    }
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(format!(
            "{expected}; the demo sends no user and no password"
        ));
    }
    // A port that is no `u16` parses all the same, and then counts as none: another server would
    // be charged, on port 80.
    if has_port(authority) && url.port_u16().is_none_or(|port| port == 0) {
        return Err(format!("{expected}; there is no such port"));
    }
    if url.query().is_some() {
        return Err(format!("{expected}; a query has no meaning here"));
    }
    Ok(url)
}

/// Whether there is something behind the host, the brackets of an IPv6 address apart.
fn has_port(authority: &str) -> bool {
    authority
        .rsplit(']')
        .next()
        .is_some_and(|rest| rest.contains(':'))
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from([&["payments"], arguments].concat())
    }

    #[test]
    fn defaults_are_the_documented_ports() {
        let flags = parse(&[]).unwrap();
        assert_eq!(flags.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(flags.grpc.to_string(), "127.0.0.1:50051");
        assert_eq!(flags.gateway_listen.to_string(), "127.0.0.1:8081");
        assert_eq!(flags.gateway, None);
        assert_eq!(flags.rate.to_string(), "100/s");
        assert_eq!(flags.trust_forwarded, 0, "a stranger can write the field");
        assert_eq!(flags.grace, Duration::from_secs(1));
    }

    #[test]
    fn localhost_is_understood() {
        let flags = parse(&["--listen", "localhost:0"]).unwrap();
        assert_eq!(flags.listen.to_string(), "127.0.0.1:0");
    }

    #[test]
    fn grace_is_a_number_and_a_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("0ms", 0),
            ("500ms", 500),
            ("1s", 1_000),
            ("010s", 10_000),
            ("3600s", 3_600_000),
        ] {
            let flags = parse(&["--grace", text]).unwrap();
            assert_eq!(flags.grace, Duration::from_millis(millis), "{text}");
        }
        for (text, why) in [
            ("", "unit is missing"),
            ("1", "unit is missing"),
            ("s", "number is missing"),
            ("-1s", "begin with a whole number"),
            ("+1s", "begin with a whole number"),
            ("soon", "begin with a whole number"),
            ("1.5s", "a whole one"),
            ("1 s", "a whole one"),
            ("1S", "a whole one"),
            ("1h", "unit s or ms"),
            ("1s1s", "unit s or ms"),
            ("3601s", "an hour"),
            ("3600001ms", "an hour"),
            ("99999999999999999999999s", "an hour"),
        ] {
            let error = parse(&["--grace", text]).unwrap_err().to_string();
            assert!(error.contains("such as 1s or 500ms"), "{text}: {error}");
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn wrong_values_exit_with_two_and_say_what_is_expected() {
        let cases: [(&[&str], &str); 19] = [
            (&["--listen", "8080"], "such as 127.0.0.1:8080"),
            (&["--listen", "127.0.0.1:99999"], "such as 127.0.0.1:8080"),
            (
                &["--gateway", "127.0.0.1:9000"],
                "such as http://127.0.0.1:9000",
            ),
            (&["--gateway", "https://bank.example"], "does not speak TLS"),
            (&["--gateway", "/charge"], "scheme `http://` is missing"),
            (&["--gateway", "http://host/?a=b"], "query has no meaning"),
            (&["--gateway", "http://me:secret@host"], "no password"),
            (&["--gateway", "http://127.0.0.1:99999"], "no such port"),
            (&["--gateway", "http://[::1]:99999/"], "no such port"),
            (&["--gateway", "http://host:0"], "no such port"),
            (&["--gateway", "http://host:"], "no such port"),
            (&["--rate", "20"], "such as 20/s"),
            (&["--rate", "-1/s"], "such as 20/s"),
            (&["--rate", "0/s"], "nobody could ever pay"),
            (&["--trust-forwarded", "yes"], "such as 1"),
            (&["--trust-forwarded", "-1"], "such as 1"),
            (&["--trust-forwarded", "256"], "at most 255"),
            (&["--listn", "127.0.0.1:0"], "--listen"),
            (&["stray"], "unexpected argument"),
        ];
        for (arguments, expected) in cases {
            let error = parse(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
            assert!(
                error.to_string().contains(expected),
                "{arguments:?}: {error}"
            );
        }
    }

    #[test]
    fn wrong_value_with_a_password_is_not_repeated() {
        for arguments in [
            ["--store", "mysql://me:secret@host/db"],
            ["--store", "me:secret@host/db"],
            ["--store", "me:secret://host/db"],
            ["--store", "redis://me:secret@host:99999"],
            ["--store", "postgres://host:99999/db?password=secret"],
            ["--gateway", "http://me:secret@host"],
            ["--gateway", "me:secret@host"],
            ["--gateway", "http://me:secret@host:port"],
        ] {
            let error = parse(&arguments).unwrap_err();
            let told = error.to_string();
            assert!(!told.contains("secret"), "{told}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
            let named = format!("invalid value for '{} <", arguments[0]);
            assert!(told.contains(&named), "{told}");
            assert!(told.contains(": expected "), "{told}");
            assert!(told.contains("Usage: payments"), "{told}");
        }
    }

    #[test]
    fn gateway_may_have_a_port_or_none() {
        for url in [
            "http://host",
            "http://[::1]/pay",
            "http://[::1]:1",
            "http://host:65535/",
        ] {
            assert!(parse(&["--gateway", url]).is_ok(), "{url}");
        }
    }

    #[test]
    fn help_is_not_an_error() {
        let error = parse(&["--help"]).unwrap_err();
        assert_eq!(
            (error.kind(), error.exit_code()),
            (ErrorKind::DisplayHelp, 0)
        );
    }
}
