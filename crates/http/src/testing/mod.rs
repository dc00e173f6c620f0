//! What tests of layers over HTTP need: the rows of the conformance suite about bodies, and a body that does what it is told.
//!
//! [`body_conformance!`] stands beside `seaworthy_kit::testing::conformance!`, and is for layers of your own just as well.
//!
//! ```
//! #[cfg(test)]
//! mod my_layer {
//!     seaworthy_http::testing::body_conformance! {
//!         layer: tower::layer::util::Identity::new,
//!     }
//! }
//! ```

mod macros;
#[doc(inline)]
pub use crate::body_conformance;

mod rig;
#[doc(hidden)]
pub use rig::{BodyRig, BodySubject, BodySubjected, run_body};

mod rows;

mod script;
pub use script::{Answers, BodyRemote, ScriptedBody};
