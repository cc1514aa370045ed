//! What a server does alike on a folder and on a cluster: part of the tests of both, which set `MODE`.

mod burst;
mod changes;
mod chat_client;
mod closes;
mod endings;
mod fan_out;
mod file_names;
mod frames;
mod kill;
mod large_files;
mod limits;
mod links;
mod logins;
mod pages;
mod passwords;
mod presence;
mod ranges;
mod registration;
mod request_limits;
mod resume;
mod roles;
mod simulate;
mod slow_reader;
mod standstill;
mod tokens;
mod tour;
