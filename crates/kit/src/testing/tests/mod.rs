//! The suite on the kit's own services, and on gates and layers that are wrong on purpose.

mod gates;
mod wrong;
