//! What each path does.

use std::sync::Arc;

use futures_util::StreamExt;
use http::Method;
use hyper::upgrade::OnUpgrade;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, path};

use super::body::{Incoming, incoming};
use super::context::{Call, Context, call};
use super::route_table::{Route, RouteTable};
use super::{accounts, channels, chat, files, presence, refusal};
use lakechat_core::domain::Problem;

const fn route(pattern: &'static str, methods: &'static [Method]) -> Route {
    Route { pattern, methods }
}

/// Every path of the service; those of health and metrics are the listener's.
pub const TABLE: RouteTable = RouteTable::new(&[
    route("/register", &[Method::POST]),
    route("/login", &[Method::POST]),
    route("/token/refresh", &[Method::POST]),
    route("/logout", &[Method::POST]),
    route("/me", &[Method::GET]),
    route("/users/<u>", &[Method::GET]),
    route("/upload", &[Method::POST]),
    route("/download/<id>", &[Method::GET, Method::HEAD]),
    route("/channels", &[Method::GET, Method::POST]),
    route(
        "/channels/<c>",
        &[Method::GET, Method::PATCH, Method::DELETE],
    ),
    route("/channels/<c>/members", &[Method::GET]),
    route("/channels/<c>/members/<u>", &[Method::PUT, Method::DELETE]),
    route("/channels/<c>/messages", &[Method::GET]),
    route("/channels/<c>/presence", &[Method::GET]),
    route("/chat", &[Method::GET]),
]);

/// The handlers of the table's paths.
pub fn routes(context: Arc<Context>) -> BoxedFilter<(Response,)> {
    let call = move || call(context.clone());
    let account = path!("register")
        .and(warp::post())
        .and(call())
        .and(incoming())
        .then(register)
        .or(path!("login")
            .and(warp::post())
            .and(call())
            .and(incoming())
            .then(login))
        .unify()
        .or(path!("token" / "refresh")
            .and(warp::post())
            .and(call())
            .and(incoming())
            .then(refresh))
        .unify()
        .or(path!("logout").and(warp::post()).and(call()).then(logout))
        .unify()
        .or(path!("me").and(warp::get()).and(call()).then(channels::me))
        .unify()
        .or(path!("users" / String)
            .and(warp::get())
            .and(call())
            .then(user))
        .unify()
        .boxed();
    let file = path!("upload")
        .and(warp::post())
        .and(call())
        .and(incoming())
        .then(upload)
        .or(path!("download" / String)
            .and(warp::method())
            .and(call())
            .then(download))
        .unify()
        .boxed();
    let name = || path!("channels" / String);
    let channel = path!("channels")
        .and(warp::get())
        .and(call())
        .then(channels::list)
        .or(path!("channels")
            .and(warp::post())
            .and(call())
            .and(incoming())
            .then(channels::create))
        .unify()
        .or(name().and(warp::get()).and(call()).then(channels::get))
        .unify()
        .or(name()
            .and(warp::patch())
            .and(call())
            .and(incoming())
            .then(channels::change))
        .unify()
        .or(name()
            .and(warp::delete())
            .and(call())
            .then(channels::archive))
        .unify()
        .boxed();
    let one = || path!("channels" / String / "members" / String);
    let members = path!("channels" / String / "members")
        .and(warp::get())
        .and(call())
        .then(channels::members)
        .or(one()
            .and(warp::put())
            .and(call())
            .and(incoming())
            .then(channels::join))
        .unify()
        .or(one().and(warp::delete()).and(call()).then(channels::leave))
        .unify()
        .or(path!("channels" / String / "messages")
            .and(warp::get())
            .and(call())
            .then(channels::messages))
        .unify()
        .or(path!("channels" / String / "presence")
            .and(warp::get())
            .and(call())
            .then(presence::in_channel))
        .unify()
        .boxed();
    let chat = path!("chat")
        .and(warp::get())
        .and(call())
        .and(warp::ext::optional::<OnUpgrade>())
        .then(chat::open)
        .boxed();
    let all = chat
        .or(file)
        .unify()
        .or(channel)
        .unify()
        .or(members)
        .unify()
        .or(account)
        .unify();
    all.map(refusal::answered).boxed()
}

async fn register(call: Call, body: Incoming) -> Result<Response, Problem> {
    call.no_query()?;
    let body = call.json(body).await?;
    accounts::register(&call.context.accounts, call.client.0, &body).await
}

async fn login(call: Call, body: Incoming) -> Result<Response, Problem> {
    call.no_query()?;
    let body = call.json(body).await?;
    accounts::login(&call.context.accounts, call.client.0, &body).await
}

async fn refresh(call: Call, body: Incoming) -> Result<Response, Problem> {
    call.no_query()?;
    let body = call.json(body).await?;
    accounts::refresh(&call.context.accounts, call.client.0, &body).await
}

async fn logout(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let identity = call.identity().await?;
    accounts::logout(&call.context.accounts, &identity).await
}

async fn user(name: String, call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    call.identity().await?;
    accounts::get_user(&call.context.accounts, &name).await
}

async fn upload(call: Call, body: Incoming) -> Result<Response, Problem> {
    let user = call.identity().await?.user;
    let context = &call.context;
    let base = context.public_url.as_ref().map(|url| url.join(""));
    let chunks = body.map(|chunk| chunk.map_err(Problem::from));
    let (headers, query) = (&call.headers, call.query()?);
    files::upload(
        &context.files,
        &user,
        base.as_deref(),
        headers,
        query,
        chunks,
    )
    .await
}

async fn download(id: String, method: Method, call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let user = call.identity().await?.user;
    let context = &call.context;
    let file = files::find(&context.files, &id).await?;
    if !context.chat.may_read_file(&user, &file).await? {
        return Err(files::forbidden());
    }
    files::download(&context.files, &file, &user, method == Method::HEAD).await
}
