//! The gRPC code that the build script generates from `proto/`.
#![expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    reason = "generated code is not written for our lints"
)]

tonic::include_proto!("hello");
