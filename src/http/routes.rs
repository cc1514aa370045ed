//! The routes of the service. Those of health and metrics belong to the listener.

use http::Method;

use super::context::ServiceContext;
use super::route_table::{Route, RouteTable};
use super::{accounts, admin, channels, chat, files, invites, logins, messages, presence, uploads};

pub fn table() -> RouteTable<ServiceContext> {
    RouteTable::new([
        Route::new(Method::POST, "/register", accounts::register),
        Route::new(Method::POST, "/login", accounts::login),
        Route::new(Method::POST, "/token/refresh", accounts::refresh),
        Route::new(Method::POST, "/logout", accounts::logout),
        Route::new(Method::GET, "/me", channels::me),
        Route::new(Method::POST, "/me/password", logins::change_password),
        Route::new(Method::GET, "/me/logins", logins::list),
        Route::new(Method::DELETE, "/me/logins/<id>", logins::end),
        Route::new(Method::GET, "/users/<u>", accounts::user),
        Route::new(Method::GET, "/admin/users", admin::list_users),
        Route::new(Method::POST, "/admin/users", admin::create_user),
        Route::new(Method::GET, "/admin/users/<u>", admin::show_user),
        Route::new(Method::PATCH, "/admin/users/<u>", admin::change_user),
        Route::new(Method::DELETE, "/admin/users/<u>/logins", admin::end_logins),
        Route::new(Method::GET, "/admin/audit", admin::audit),
        Route::new(Method::POST, "/invites", invites::create),
        Route::new(Method::GET, "/invites", invites::list),
        Route::new(Method::DELETE, "/invites/<id>", invites::end),
        Route::new(Method::POST, "/upload", files::upload),
        Route::new(Method::GET, "/download/<id>", files::download),
        Route::new(Method::HEAD, "/download/<id>", files::download),
        Route::new(Method::POST, "/download/<id>/sign", files::sign),
        Route::new(Method::GET, "/files/<id>", files::describe),
        Route::new(Method::DELETE, "/files/<id>", files::delete),
        Route::new(Method::OPTIONS, "/uploads", uploads::options),
        Route::new(Method::POST, "/uploads", uploads::create),
        Route::new(Method::POST, "/uploads/sign", uploads::sign),
        Route::new(Method::OPTIONS, "/uploads/<id>", uploads::options),
        Route::new(Method::PUT, "/uploads/<id>", uploads::put),
        Route::new(Method::HEAD, "/uploads/<id>", uploads::status),
        Route::new(Method::PATCH, "/uploads/<id>", uploads::append),
        Route::new(Method::DELETE, "/uploads/<id>", uploads::end),
        Route::new(Method::POST, "/uploads/<id>", uploads::overridden),
        Route::new(Method::GET, "/channels", channels::list),
        Route::new(Method::POST, "/channels", channels::create),
        Route::new(Method::GET, "/channels/<c>", channels::get),
        Route::new(Method::PATCH, "/channels/<c>", channels::change),
        Route::new(Method::DELETE, "/channels/<c>", channels::archive),
        Route::new(Method::GET, "/channels/<c>/members", channels::members),
        Route::new(Method::PUT, "/channels/<c>/members/<u>", channels::join),
        Route::new(Method::DELETE, "/channels/<c>/members/<u>", channels::leave),
        Route::new(Method::GET, "/channels/<c>/messages", channels::messages),
        Route::new(Method::POST, "/channels/<c>/messages", messages::send),
        Route::new(Method::PATCH, "/channels/<c>/messages/<id>", messages::edit),
        Route::new(
            Method::DELETE,
            "/channels/<c>/messages/<id>",
            messages::delete,
        ),
        Route::new(
            Method::PUT,
            "/channels/<c>/messages/<id>/reactions/<emoji>",
            messages::react,
        ),
        Route::new(
            Method::DELETE,
            "/channels/<c>/messages/<id>/reactions/<emoji>",
            messages::take_back,
        ),
        Route::new(Method::GET, "/channels/<c>/presence", presence::get),
        Route::new(Method::GET, "/chat", chat::open),
    ])
}
