//! What the sources have to keep to, read from the sources.

mod layers;
mod thrift_calls;
