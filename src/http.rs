//! HTTP: the server loop, routes, handlers, error mapping, access log.
//!
//! `server` accepts a connection, and hyper calls its `guard` for each request. The guard finds the
//! endpoint, gives the request an id, and makes sure that one response and one log line follow. The
//! `router` sends the request through warp's filters, which take it apart into a `call`, to its
//! handler in the `routes`. A handler returns `Result<Response, Problem>` and logs no refusals.

mod access_log;
mod accounts;
pub mod address_limits;
mod address_slots;
mod admin;
pub mod allowed_hosts;
mod bearer;
mod body;
mod call;
mod channels;
mod chat;
mod client_addr;
mod connection;
pub mod context;
mod files;
mod framing;
mod guard;
pub mod health;
mod host;
mod invites;
pub mod listener;
mod logins;
mod messages;
pub mod metrics;
mod min_rate;
mod page_body;
mod parser_refusal;
mod path_pattern;
mod presence;
mod query;
mod refusal;
mod request;
mod response;
pub mod route_table;
pub mod router;
pub mod routes;
pub mod server;
mod signed_url;
mod stall_timer;
mod uploads;
mod url_path;
