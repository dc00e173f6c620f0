//! What a finished HTTP or gRPC call means: classification, guarded and replayable bodies, refusals as responses.

mod carry;

mod field;

pub mod criticality;
pub mod deadline_header;
pub mod forwarded;
pub mod grpc;
pub mod grpc_timeout;
pub mod key;
pub mod problem;
pub mod rate_limit;
pub mod replay;
pub mod retry;
pub mod retry_after;
pub mod structured;
pub mod whole;

mod attempts;
pub use attempts::{HttpReplay, KeptRequest, SameBody, WrapBody, WrapBodyFn};

mod body;
pub use body::GuardedBody;

mod classify;
pub use classify::DefaultClassifier;

mod overload;
pub use overload::OverloadClassifier;

mod load;
pub use load::LoadClassifier;

mod replayed;
pub use replayed::Replayed;

mod traffic;
pub use traffic::Http;

#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "reqwest")]
pub use self::reqwest::{KeptReqwest, Reqwest, ReqwestReplay};

#[cfg(feature = "tower-http")]
pub mod tower_http;

pub mod edge;
pub use edge::RespondLayer;

pub mod server_timing;
pub use server_timing::ServerTimingLayer;

#[cfg(feature = "testing")]
pub mod testing;
