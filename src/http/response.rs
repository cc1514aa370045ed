//! Responses: JSON bodies, and problems in their one format with their status.

use headers::{ContentRange, HeaderMapExt};
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use http::{Response as HttpResponse, StatusCode};
use serde::Serialize;
use warp::reply::Response;

use lakechat_core::domain::{Code, Problem};

/// warp's body type, for which warp exports no name.
pub type ResponseBody = <Response as HasBody>::Body;

pub trait HasBody {
    type Body;
}

impl<B> HasBody for HttpResponse<B> {
    type Body = B;
}

/// A JSON response.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body);
    json_text(
        status,
        text.expect("our responses have string keys and finite numbers"),
    )
}

fn json_text(status: StatusCode, text: String) -> Response {
    let mut response = HttpResponse::new(text.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// The body of a refusal.
pub fn problem_text(problem: &Problem, request_id: &str) -> String {
    #[derive(Serialize)]
    struct Shape<'a> {
        error: WithId<'a>,
    }
    #[derive(Serialize)]
    struct WithId<'a> {
        #[serde(flatten)]
        problem: &'a Problem,
        request_id: &'a str,
    }
    let error = WithId {
        problem,
        request_id,
    };
    serde_json::to_string(&Shape { error }).expect("problems have string keys")
}

/// A refusal in the format that all of them have. Its cause is left out: the caller logs it.
pub fn problem(problem: &Problem, request_id: &str) -> Response {
    let status = status(problem.code);
    let mut response = json_text(status, problem_text(problem, request_id));
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let (StatusCode::RANGE_NOT_SATISFIABLE, Some(size)) = (status, problem.limit) {
        headers.typed_insert(ContentRange::unsatisfied_bytes(size));
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        let seconds = problem.retry_after_ms.unwrap_or(1000).div_ceil(1000).max(1);
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The status of a code over HTTP. Codes that only frames carry have the status they would have.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::BadJson
        | Code::FieldMissing
        | Code::FieldInvalid
        | Code::ParamUnknown
        | Code::BadRequest
        | Code::UsernameInvalid
        | Code::PasswordTooShort
        | Code::PasswordTooLong
        | Code::PasswordTooCommon
        | Code::FileMissing
        | Code::TooManyFiles
        | Code::MultipartInvalid
        | Code::FileNameInvalid
        | Code::IdInvalid
        | Code::ChannelNameInvalid
        | Code::ParamsExclusive
        | Code::LimitInvalid
        | Code::CursorInvalid
        | Code::BadFrame
        | Code::UnknownType
        | Code::EmojiInvalid
        | Code::AttachmentInvalid => StatusCode::BAD_REQUEST,
        Code::NotAuthenticated
        | Code::TokenExpired
        | Code::TokenRevoked
        | Code::InvalidCredentials => StatusCode::UNAUTHORIZED,
        Code::Forbidden
        | Code::RegistrationClosed
        | Code::InviteInvalid
        | Code::AccountDisabled
        | Code::AdminRequired
        | Code::RoleRequired
        | Code::NotAMember
        | Code::NotAuthor
        | Code::SignatureInvalid
        | Code::UrlExpired => StatusCode::FORBIDDEN,
        Code::NotFound
        | Code::UserNotFound
        | Code::LoginNotFound
        | Code::InviteNotFound
        | Code::FileNotFound
        | Code::UploadNotFound
        | Code::ChannelNotFound
        | Code::MessageNotFound
        | Code::ParentNotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::HostNotAllowed => StatusCode::MISDIRECTED_REQUEST,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::UsernameTaken
        | Code::ChannelExists
        | Code::ChannelArchived
        | Code::LastOwner
        | Code::OffsetConflict
        | Code::TooManyParts
        | Code::LastAdmin
        | Code::AlreadyUsed
        | Code::IdempotencyConflict
        | Code::Expired
        | Code::EditWindowPassed
        | Code::TooManyChannels => StatusCode::CONFLICT,
        Code::LengthRequired => StatusCode::LENGTH_REQUIRED,
        Code::UploadExpired => StatusCode::GONE,
        Code::PreconditionFailed | Code::TusVersionUnsupported => StatusCode::PRECONDITION_FAILED,
        Code::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        Code::TransferCodingUnsupported => StatusCode::NOT_IMPLEMENTED,
        Code::BodyTooLarge | Code::FileTooLarge | Code::MessageTooLarge => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Code::MediaTypeUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::ChecksumMismatch | Code::SizeMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        Code::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        Code::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::DirectoryUnavailable
        | Code::HistoryUnavailable
        | Code::StorageUnavailable
        | Code::BrokerUnavailable
        | Code::ClockSkew
        | Code::PersistTimeout
        | Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    }
}
