//! The adapters that need no services: those on a folder and in memory, and Redis.

mod embedded;
mod redis;
