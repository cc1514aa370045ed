//! The parsers of `http::files`.

mod disposition;
mod multipart;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::HeaderValue;
use lakechat_core::domain::Problem;

use self::disposition::Style;
use self::multipart::Form;

/// The name in a header of a request, and in one of a form's part.
pub fn file_names(header: &HeaderValue) -> [Option<String>; 2] {
    [Style::Http, Style::Form].map(|style| disposition::file_name(header, style).ok().flatten())
}

/// The header of a download.
pub fn header_for(name: &str) -> HeaderValue {
    disposition::compose("attachment", name)
}

/// The bytes of the file in a form that arrives in these chunks.
pub async fn file_in_form(chunks: Vec<Bytes>, boundary: &str) -> Result<Vec<u8>, Problem> {
    let body = stream::iter(chunks.into_iter().map(Ok::<_, Problem>));
    let mut form = Form::new(body, boundary.to_owned(), true);
    let file = form.file().await?;
    let mut bytes = Vec::new();
    let mut stream = std::pin::pin!(file.bytes(form));
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}
