//! How a problem gets from where it is found to the guard, which answers and logs it, once.

use std::convert::Infallible;
use std::sync::Arc;

use warp::body::BodyDeserializeError;
use warp::reject::{
    InvalidHeader, InvalidQuery, LengthRequired, MethodNotAllowed, MissingHeader, PayloadTooLarge,
    Reject, UnsupportedMediaType,
};
use warp::reply::Response;
use warp::{Rejection, Reply};

use crate::http::response;
use lakechat_core::domain::{Code, Problem};

/// A problem on its way: as an extension of an answer that has no body yet, or as a rejection.
#[derive(Clone, Debug)]
pub(super) struct Refusal(pub(super) Arc<Problem>);

impl Reject for Refusal {}

impl Reply for Refusal {
    fn into_response(self) -> Response {
        let mut carrier = response::empty(response::status(self.0.code));
        carrier.extensions_mut().insert(self);
        carrier
    }
}

/// What a handler answers; the guard writes the body of a problem.
pub(super) fn answered(answer: Result<Response, Problem>) -> Response {
    answer.unwrap_or_else(refused)
}

pub(super) fn refused(problem: Problem) -> Response {
    Refusal(Arc::new(problem)).into_response()
}

/// Every rejection as a refusal in our shape.
pub(super) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    Ok(match rejection.find::<Refusal>() {
        Some(refusal) => refusal.clone().into_response(),
        None => refused(own(&rejection)),
    })
}

/// What warp itself rejects. A wrong method comes last: every route of another method adds one.
fn own(rejection: &Rejection) -> Problem {
    if rejection.is_not_found() {
        return not_found();
    }
    if rejection.find::<UnsupportedMediaType>().is_some() {
        let text = "The Content-Type is not one that this call takes.";
        return Problem::new(Code::MediaTypeUnsupported, text);
    }
    if rejection.find::<LengthRequired>().is_some() {
        return Problem::new(Code::LengthRequired, "This call wants a Content-Length.");
    }
    if rejection.find::<PayloadTooLarge>().is_some() {
        return Problem::new(
            Code::BodyTooLarge,
            "The body is larger than this call takes.",
        );
    }
    if rejection.find::<BodyDeserializeError>().is_some() {
        return Problem::new(
            Code::BadJson,
            "The body is not the JSON that this call takes.",
        );
    }
    if rejection.find::<InvalidQuery>().is_some() {
        return Problem::new(Code::FieldInvalid, "The parameters are not valid.");
    }
    let missing = rejection.find::<MissingHeader>().map(|e| e.name());
    let invalid = rejection.find::<InvalidHeader>().map(|e| e.name());
    if let Some(name) = missing.or(invalid) {
        let text = format!("The header {name} is missing or not valid.");
        return Problem::new(Code::BadRequest, text).field(name.to_owned());
    }
    if rejection.find::<MethodNotAllowed>().is_some() {
        return Problem::new(
            Code::MethodNotAllowed,
            "This path does not take the method.",
        );
    }
    Problem::internal(format!("a rejection that nothing knows: {rejection:?}"))
}

/// The problem of a path that is not there.
pub(super) fn not_found() -> Problem {
    Problem::new(Code::NotFound, "There is no such path.")
}
