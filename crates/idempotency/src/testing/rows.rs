//! The rows of the suite, by what they are about.

mod claims;
mod drops;
mod ends;
mod kept;
mod races;
mod runs;
mod waits;
