//! The face over gRPC: `grpc.health.v1.Health` with `Check`, `List` and `Watch`, on any HTTP service, without a gRPC library in the tree.
//!
//! The services that clients ask for are the [groups](crate::Builder::group) of the registry; the empty name is the whole process.
//! While the process drains, none of them serves.

mod answer;

mod body;
pub use body::Messages;

mod layer;
pub use layer::{GrpcHealth, GrpcHealthLayer, GrpcHealthService};

pub(crate) mod message;

mod watch;
