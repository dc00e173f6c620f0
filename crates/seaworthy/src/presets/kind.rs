//! Which layer is put into a place that is empty at first.

use seaworthy_kit::Plain;

/// The kind of traffic that a stack is for: [`Plain`], `Http` or `Reqwest`.
///
/// It says which builders the setters of the optional layers give to their closures.
pub trait Kind {
    /// What a hedge is built from.
    #[cfg(feature = "hedge")]
    type Hedge;
    /// What a throttle is built from.
    #[cfg(feature = "adaptive")]
    type Throttle;
    /// What an adaptive limit is built from.
    #[cfg(feature = "adaptive")]
    type Adaptive;
    /// What a pace is built from.
    #[cfg(feature = "rate-limit")]
    type Pace;
    /// What a rate limit is built from.
    #[cfg(feature = "rate-limit")]
    type RateLimit;

    /// A hedge of that name.
    #[cfg(feature = "hedge")]
    fn hedge(name: &str) -> Self::Hedge;

    /// A throttle of that name.
    #[cfg(feature = "adaptive")]
    fn throttle(name: &str) -> Self::Throttle;

    /// An adaptive limit of that name.
    #[cfg(feature = "adaptive")]
    fn adaptive(name: &str) -> Self::Adaptive;

    /// A pace of that name.
    #[cfg(feature = "rate-limit")]
    fn pace(name: &str) -> Self::Pace;

    /// A rate limit of that name.
    #[cfg(feature = "rate-limit")]
    fn rate_limit(name: &str) -> Self::RateLimit;
}

macro_rules! kind {
    ($kind:ty, $named:ident, $replay:ty, $load:ty, $overload:ty) => {
        impl Kind for $kind {
            #[cfg(feature = "hedge")]
            type Hedge = seaworthy_hedge::Builder<$kind, $replay>;
            #[cfg(feature = "adaptive")]
            type Throttle = seaworthy_adaptive::throttle::Builder<$overload>;
            #[cfg(feature = "adaptive")]
            type Adaptive = seaworthy_adaptive::Builder<$load>;
            #[cfg(feature = "rate-limit")]
            type Pace = seaworthy_rate_limit::pace::Builder<$kind>;
            #[cfg(feature = "rate-limit")]
            type RateLimit = seaworthy_rate_limit::Builder<$kind>;

            #[cfg(feature = "hedge")]
            fn hedge(name: &str) -> Self::Hedge {
                seaworthy_hedge::HedgeLayer::$named(name)
            }

            #[cfg(feature = "adaptive")]
            fn throttle(name: &str) -> Self::Throttle {
                seaworthy_adaptive::ThrottleLayer::$named(name)
            }

            #[cfg(feature = "adaptive")]
            fn adaptive(name: &str) -> Self::Adaptive {
                seaworthy_adaptive::AdaptiveLayer::$named(name)
            }

            #[cfg(feature = "rate-limit")]
            fn pace(name: &str) -> Self::Pace {
                seaworthy_rate_limit::PaceLayer::$named(name)
            }

            #[cfg(feature = "rate-limit")]
            fn rate_limit(name: &str) -> Self::RateLimit {
                seaworthy_rate_limit::RateLimitLayer::$named(name)
            }
        }
    };
}

kind!(Plain, plain, Plain, Plain, Plain);

#[cfg(feature = "http")]
mod http {
    use seaworthy_http::{Http, HttpReplay, LoadClassifier, OverloadClassifier};

    use super::Kind;

    kind!(
        Http,
        http,
        HttpReplay,
        Http<LoadClassifier>,
        Http<OverloadClassifier>
    );
}

#[cfg(feature = "reqwest")]
mod reqwest {
    use seaworthy_http::{LoadClassifier, OverloadClassifier, Reqwest, ReqwestReplay};

    use super::Kind;

    kind!(
        Reqwest,
        reqwest,
        ReqwestReplay,
        Reqwest<LoadClassifier>,
        Reqwest<OverloadClassifier>
    );
}
