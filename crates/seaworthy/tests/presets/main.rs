//! The presets: they are the layers stacked by hand, fit together, and go onto every server and client.

mod fair;
mod fit;
mod order;
mod places;
mod published;
mod table;
mod wire;
