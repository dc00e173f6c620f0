//! Which build it is that says how it is.

use std::borrow::Cow;

/// Which build it is; each part is told where it is known.
///
/// ```
/// use seaworthy_health::BuildInfo;
///
/// let mut build = BuildInfo::default();
/// build.version = Some(env!("CARGO_PKG_VERSION").into());
/// build.git_commit = option_env!("GIT_COMMIT").map(Into::into);
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct BuildInfo {
    /// The version of the program.
    pub version: Option<Cow<'static, str>>,
    /// The commit that it was built from.
    pub git_commit: Option<Cow<'static, str>>,
    /// When it was built.
    pub build_timestamp: Option<Cow<'static, str>>,
}
