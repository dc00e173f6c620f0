//! The options of the layer.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use seaworthy_core::health::Overall;
use seaworthy_kit::InvalidConfig;

use super::accept::Format;
use super::document::Question;
use super::layer::HealthLayer;
use crate::health::Health;
use crate::report::Report;

type Allows = dyn Fn(&Parts) -> bool + Send + Sync;

/// Makes a [`HealthLayer`].
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    pub(super) health: Health,
    pub(super) options: Options,
}

/// What the clones of a layer share.
pub(super) struct Options {
    live: Cow<'static, str>,
    ready: Cow<'static, str>,
    startup: Cow<'static, str>,
    health: Cow<'static, str>,
    groups: Cow<'static, str>,
    details: Option<Arc<Allows>>,
    not_ready: StatusCode,
    degraded: StatusCode,
    unhealthy: Option<StatusCode>,
    pub(super) closes: bool,
}

/// What a path asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    One(Question),
    Group(Arc<str>),
}

// ===== impl Builder =====

impl Builder {
    pub(super) fn new(health: Health) -> Self {
        Self {
            health,
            options: Options {
                live: "/health/live".into(),
                ready: "/health/ready".into(),
                startup: "/health/startup".into(),
                health: "/health".into(),
                groups: "/health/groups".into(),
                details: None,
                not_ready: StatusCode::SERVICE_UNAVAILABLE,
                degraded: StatusCode::OK,
                unhealthy: None,
                closes: true,
            },
        }
    }

    /// Where liveness is. Default: `/health/live`.
    pub fn live_path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.options.live = path.into();
        self
    }

    /// Where readiness is. Default: `/health/ready`.
    pub fn ready_path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.options.ready = path.into();
        self
    }

    /// Where the startup is. Default: `/health/startup`.
    pub fn startup_path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.options.startup = path.into();
        self
    }

    /// Where the whole is, for dashboards. Default: `/health`.
    pub fn health_path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.options.health = path.into();
        self
    }

    /// Below which path the groups are, each by its name. Default: `/health/groups`.
    pub fn groups_path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.options.groups = path.into();
        self
    }

    /// Who is told more than the status: the checks, their errors, the build. Default: nobody, since errors name hosts and users.
    ///
    /// It sees the head of the request: its headers, and extensions such as the address of the caller.
    pub fn details(mut self, allows: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.options.details = Some(Arc::new(allows));
        self
    }

    /// Everybody is told everything: for a listener that only operators reach.
    pub fn details_for_all(self) -> Self {
        self.details(|_| true)
    }

    /// The status code of what is not ready, has not started, or is stuck. Default: 503.
    pub const fn not_ready_status(mut self, status: StatusCode) -> Self {
        self.options.not_ready = status;
        self
    }

    /// The status code of the whole where it is degraded. Default: 200, it works.
    pub const fn degraded_status(mut self, status: StatusCode) -> Self {
        self.options.degraded = status;
        self
    }

    /// The status code of the whole where it is unhealthy. Default: 200, the answer is there, and a dashboard reads it; 503 as `application/health+json`, whose draft wants it.
    pub const fn unhealthy_status(mut self, status: StatusCode) -> Self {
        self.options.unhealthy = Some(status);
        self
    }

    /// Whether answers over HTTP/1 close their connection while the process drains. Default: true.
    ///
    /// A client, or a load balancer, that keeps its connection would send its next request into a server that is about to end.
    pub const fn close_connections(mut self, close: bool) -> Self {
        self.options.closes = close;
        self
    }

    /// The layer.
    ///
    /// # Errors
    /// If a path does not begin with `/`, has a query or a space, or is there twice, or that of the groups ends with `/`.
    pub fn build(self) -> Result<HealthLayer, InvalidConfig> {
        let wrong = |option, reason| Err(InvalidConfig::new(option, reason));
        let paths = self.options.paths();
        for (at, (option, path)) in paths.iter().enumerate() {
            if !path.starts_with('/') || path.contains(['?', '#', ' ', '{', '}']) {
                return wrong(option, "must begin with `/` and be a plain path");
            }
            if *option == "groups_path" && path.ends_with('/') {
                return wrong(option, "must not end with `/`: the name of a group follows");
            }
            if paths[..at].iter().any(|(_, other)| other == path) {
                return wrong(option, "must be a path of its own");
            }
        }
        Ok(HealthLayer::new(self.health, self.options))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("health", &self.health)
            .field("options", &self.options)
            .finish()
    }
}

// ===== impl Options =====

impl Options {
    pub(super) fn paths(&self) -> [(&'static str, &str); 5] {
        [
            ("live_path", &*self.live),
            ("ready_path", &self.ready),
            ("startup_path", &self.startup),
            ("health_path", &self.health),
            ("groups_path", &self.groups),
        ]
    }

    /// What is asked for at this path.
    #[inline]
    pub(super) fn asked(&self, path: &str) -> Option<Asked> {
        let question = [
            (&self.live, Question::Live),
            (&self.ready, Question::Ready),
            (&self.startup, Question::Startup),
            (&self.health, Question::Health),
        ]
        .into_iter()
        .find_map(|(own, question)| (own == path).then_some(question));
        if let Some(question) = question {
            return Some(Asked::One(question));
        }
        let group = path.strip_prefix(&*self.groups)?.strip_prefix('/')?;
        Some(Asked::Group(group.into()))
    }

    pub(super) fn tells(&self, parts: &Parts) -> bool {
        self.details.as_ref().is_some_and(|allows| allows(parts))
    }

    pub(super) fn status(&self, question: Question, format: Format, report: &Report) -> StatusCode {
        let good = |is_good| {
            if is_good {
                StatusCode::OK
            } else {
                self.not_ready
            }
        };
        match (question, report.overall) {
            (Question::Live, _) => good(report.alive),
            (Question::Ready, _) => good(report.ready),
            (Question::Startup, _) => good(report.started),
            (Question::Health, Overall::Healthy) => StatusCode::OK,
            (Question::Health, Overall::Degraded) => self.degraded,
            (Question::Health, Overall::Unhealthy) => {
                // "In case of the "fail" status, HTTP response code in the 4xx-5xx range MUST be used."
                let by_format = match format {
                    Format::Json => StatusCode::OK,
                    Format::HealthJson => StatusCode::SERVICE_UNAVAILABLE,
                };
                self.unhealthy.unwrap_or(by_format)
            }
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("paths", &self.paths())
            .field("tells_details", &self.details.is_some())
            .finish_non_exhaustive()
    }
}
