//! The gRPC code that the build script generates from `proto/`.

#![expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::must_use_candidate,
    clippy::missing_errors_doc,
    reason = "generated code is not written for our lints"
)]

/// `payments.v1`: the payments API over gRPC.
pub mod payments {
    tonic::include_proto!("payments.v1");
}

/// `fraud.v1`: the fraud service that the payments API depends on.
pub mod fraud {
    tonic::include_proto!("fraud.v1");
}

/// `grpc.health.v1`: how a server is.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// Descriptors for server reflection: of the payments API.
pub(crate) const PAYMENTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/payments.bin"));

/// Of its health.
pub(crate) const HEALTH: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/health.bin"));

/// Of the fraud service.
pub(crate) const FRAUD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fraud.bin"));
