//! `/upload` and `/download/<id>`: what HTTP has to do with files.

mod digest;
mod disposition;
mod download;
mod multipart;
#[cfg(test)]
mod tests;
mod upload;

pub use download::{download, find, forbidden};
pub use upload::upload;
