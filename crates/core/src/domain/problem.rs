//! The error that a client gets, in one form for HTTP and WebSocket.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

macro_rules! codes {
    ($($variant:ident = $text:literal,)*) => {
        /// The public error codes. Their texts must not change: clients that others wrote depend on
        /// them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($variant,)* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
        }
    };
}

codes! {
    // Any call.
    BadJson = "bad_json",
    FieldMissing = "field_missing",
    FieldInvalid = "field_invalid",
    ParamUnknown = "param_unknown",
    BadRequest = "bad_request",
    NotAuthenticated = "not_authenticated",
    TokenExpired = "token_expired",
    TokenRevoked = "token_revoked",
    NotFound = "not_found",
    MethodNotAllowed = "method_not_allowed",
    HostNotAllowed = "host_not_allowed",
    RequestTimeout = "request_timeout",
    LengthRequired = "length_required",
    TransferCodingUnsupported = "transfer_coding_unsupported",
    BodyTooLarge = "body_too_large",
    MediaTypeUnsupported = "media_type_unsupported",
    UpgradeRequired = "upgrade_required",
    HeadersTooLarge = "headers_too_large",
    RateLimited = "rate_limited",
    Internal = "internal",
    DirectoryUnavailable = "directory_unavailable",
    HistoryUnavailable = "history_unavailable",
    StorageUnavailable = "storage_unavailable",
    BrokerUnavailable = "broker_unavailable",
    ShuttingDown = "shutting_down",
    // Accounts.
    UsernameTaken = "username_taken",
    UsernameInvalid = "username_invalid",
    PasswordTooShort = "password_too_short",
    PasswordTooLong = "password_too_long",
    PasswordTooCommon = "password_too_common",
    RegistrationClosed = "registration_closed",
    InviteInvalid = "invite_invalid",
    InviteNotFound = "invite_not_found",
    InvalidCredentials = "invalid_credentials",
    AdminRequired = "admin_required",
    LastAdmin = "last_admin",
    AccountDisabled = "account_disabled",
    LoginNotFound = "login_not_found",
    UserNotFound = "user_not_found",
    // Files.
    FileMissing = "file_missing",
    TooManyFiles = "too_many_files",
    MultipartInvalid = "multipart_invalid",
    FileNameInvalid = "file_name_invalid",
    FileTooLarge = "file_too_large",
    ChecksumMismatch = "checksum_mismatch",
    IdInvalid = "id_invalid",
    Forbidden = "forbidden",
    FileNotFound = "file_not_found",
    PreconditionFailed = "precondition_failed",
    RangeNotSatisfiable = "range_not_satisfiable",
    SignatureInvalid = "signature_invalid",
    UrlExpired = "url_expired",
    UploadNotFound = "upload_not_found",
    UploadExpired = "upload_expired",
    OffsetConflict = "offset_conflict",
    TooManyParts = "too_many_parts",
    SizeMismatch = "size_mismatch",
    AlreadyUsed = "already_used",
    TusVersionUnsupported = "tus_version_unsupported",
    // Channels and history.
    ChannelExists = "channel_exists",
    ChannelNameInvalid = "channel_name_invalid",
    ChannelNotFound = "channel_not_found",
    ChannelArchived = "channel_archived",
    RoleRequired = "role_required",
    LastOwner = "last_owner",
    ParamsExclusive = "params_exclusive",
    LimitInvalid = "limit_invalid",
    CursorInvalid = "cursor_invalid",
    // Frames.
    BadFrame = "bad_frame",
    UnknownType = "unknown_type",
    NotAMember = "not_a_member",
    MessageTooLarge = "message_too_large",
    IdempotencyConflict = "idempotency_conflict",
    ClockSkew = "clock_skew",
    Expired = "expired",
    TooManyChannels = "too_many_channels",
    PersistTimeout = "persist_timeout",
    MessageNotFound = "message_not_found",
    NotAuthor = "not_author",
    EditWindowPassed = "edit_window_passed",
    EmojiInvalid = "emoji_invalid",
    ParentNotFound = "parent_not_found",
    AttachmentInvalid = "attachment_invalid",
}

impl Code {
    /// Whether the server or a back end failed, rather than the client's request.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Code::Internal
                | Code::DirectoryUnavailable
                | Code::HistoryUnavailable
                | Code::StorageUnavailable
                | Code::BrokerUnavailable
        )
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// An error for a client: what is wrong, what is allowed, and a cause for the log only.
///
/// Serializes as the `error` object of a response or a frame. The cause never leaves the server.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    pub code: Code,
    /// For people: what is wrong and what is allowed.
    pub message: Cow<'static, str>,
    /// The field or parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
    /// The limit that was exceeded, in the unit that the message names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// After how many milliseconds a retry makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    #[serde(skip)]
    pub cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            code,
            message: message.into(),
            field: None,
            limit: None,
            retry_after_ms: None,
            cause: None,
        }
    }

    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Problem {
        self.field = Some(field.into());
        self
    }

    pub fn limit(mut self, limit: u64) -> Problem {
        self.limit = Some(limit);
        self
    }

    pub fn retry_after_ms(mut self, ms: u64) -> Problem {
        self.retry_after_ms = Some(ms);
        self
    }

    pub fn cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Problem {
        self.cause = Some(cause.into().into());
        self
    }

    /// An error that should not happen. The client gets no details: the cause is only in the log.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Problem {
        let text = "Something failed on the server; its log has the cause under the request id.";
        Problem::new(Code::Internal, text).cause(cause)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|e| e as _)
    }
}

/// Prints an error and all its sources, up to [`CAUSE_BYTES`]: a source may repeat what a client has
/// sent.
pub struct CauseChain<'a>(pub &'a (dyn Error + 'static));

const CAUSE_BYTES: usize = 1024;

impl fmt::Display for CauseChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut source = self.0.source();
        while let Some(error) = source {
            text += ": ";
            text += &error.to_string();
            source = error.source();
        }
        let end = text.floor_char_boundary(CAUSE_BYTES);
        let cut = if end < text.len() { "…" } else { "" };
        write!(f, "{}{cut}", &text[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_causes_is_cut_at_its_limit() {
        let long = Problem::new(Code::BadFrame, "ü".repeat(10_000));
        let text = CauseChain(&long).to_string();
        assert!(text.starts_with("bad_frame: ü") && text.ends_with("ü…"));
        assert!(text.len() <= CAUSE_BYTES + "…".len());
        let short = Problem::new(Code::BadFrame, "no").cause("why");
        assert_eq!(CauseChain(&short).to_string(), "bad_frame: no: why");
    }
}
