//! Forms (`multipart/form-data`) with one file, read as a stream.
//!
//! While it looks for a boundary or a part's headers, the parser buffers everything that its source
//! has ready. `Wire`, between the parser and the body, yields one chunk at a time and limits the total.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap};
use multer::{Field, Multipart};
use sha2::{Digest, Sha256};

use super::disposition::{self, Style};
use lakechat_core::domain::{Code, Problem};
use lakechat_core::files::{FileName, MediaType};

/// A boundary and a part's headers must end within this many bytes, plus one chunk.
const MAX_BETWEEN_BYTES: usize = 16 * 1024;

/// The limits of the fields that are not files: their bytes together, and their number.
const MAX_FIELD_BYTES: usize = 64 * 1024;
const MAX_FIELDS: usize = 32;

const CONTENT_TRANSFER_ENCODING: &str = "content-transfer-encoding";

/// RFC 2046.
const MAX_BOUNDARY_BYTES: usize = 70;

/// More than a form may contain beside its file.
pub(super) const OVERHEAD_BYTES: u64 =
    (MAX_FIELD_BYTES + (MAX_FIELDS + 3) * 2 * MAX_BETWEEN_BYTES) as u64;

/// The boundary in a form's media type.
pub(super) fn boundary(media_type: &str) -> Result<String, Problem> {
    match multer::parse_boundary(media_type) {
        Ok(boundary) if (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()) => Ok(boundary),
        _ => Err(invalid(
            "its Content-Type has no boundary of 1 to 70 characters",
        )),
    }
}

/// A form that is being received.
pub(super) struct Form<'r> {
    wire: Wire<'r>,
    parser: Multipart<'r>,
    fields: usize,
    field_bytes: usize,
}

/// The one file of a form; `bytes` streams its content.
pub(super) struct FilePart<'r> {
    pub(super) name: FileName,
    pub(super) media_type: Option<MediaType>,
    data: Field<'r>,
}

impl<'r> Form<'r> {
    /// `hashed`: whether to compute the SHA-256 of the whole form.
    pub(super) fn new(
        body: impl Stream<Item = Result<Bytes, Problem>> + Send + 'r,
        boundary: String,
        hashed: bool,
    ) -> Form<'r> {
        let wire = Wire::new(body.fuse().boxed(), hashed);
        Form {
            parser: Multipart::new(wire.clone(), boundary),
            wire,
            fields: 0,
            field_bytes: 0,
        }
    }

    pub(super) fn wire(&self) -> Wire<'r> {
        self.wire.clone()
    }

    /// Advances to the file; `file_missing` if there is none.
    pub(super) async fn file(&mut self) -> Result<FilePart<'r>, Problem> {
        let missing = || {
            let text = "The form has no file; one part must have a filename.";
            Problem::new(Code::FileMissing, text)
        };
        let (name, data) = self.next_file().await?.ok_or_else(missing)?;
        refuse_encoded(data.headers())?;
        let media_type = match data.headers().get(CONTENT_TYPE) {
            Some(value) => Some(MediaType::parse(value.to_str().unwrap_or_default())?),
            None => None,
        };
        Ok(FilePart {
            name: FileName::parse(name)?,
            media_type,
            data,
        })
    }

    /// Reads what follows the file, to the end of the body. A second file is `too_many_files`.
    async fn finish(&mut self) -> Result<(), Problem> {
        if self.next_file().await?.is_some() {
            let text = "The form has more than one file; the limit is one per call.";
            return Err(Problem::new(Code::TooManyFiles, text).limit(1));
        }
        self.wire.limit();
        while let Some(rest) = self.wire.next().await {
            rest?;
        }
        Ok(())
    }

    /// Advances to the next part with a file name, and skips the others.
    async fn next_file(&mut self) -> Result<Option<(String, Field<'r>)>, Problem> {
        loop {
            self.wire.limit();
            let Some(field) = self.parser.next_field().await.map_err(unwrap)? else {
                return Ok(None);
            };
            self.wire.unlimit();
            let header = field.headers().get(CONTENT_DISPOSITION);
            let header = header.ok_or_else(|| invalid("a part has no Content-Disposition"))?;
            let name = disposition::file_name(header, Style::Form)
                .map_err(|_| invalid("a part's Content-Disposition is invalid"))?;
            match name {
                // Browsers send a file input that nobody filled with an empty name and no bytes.
                Some(name) if name.is_empty() => self.skip_unchosen(field).await?,
                Some(name) => return Ok(Some((name, field))),
                None => self.skip(field).await?,
            }
        }
    }

    /// Skips a part with an empty file name. `file_name_invalid` if it has bytes.
    async fn skip_unchosen(&mut self, mut field: Field<'r>) -> Result<(), Problem> {
        while let Some(chunk) = field.chunk().await.map_err(unwrap)? {
            if !chunk.is_empty() {
                return Err(FileName::invalid());
            }
        }
        self.skip(field).await
    }

    async fn skip(&mut self, mut field: Field<'r>) -> Result<(), Problem> {
        self.fields += 1;
        while let Some(chunk) = field.chunk().await.map_err(unwrap)? {
            self.field_bytes += chunk.len();
            if self.field_bytes > MAX_FIELD_BYTES {
                let text = "the fields beside the file have more than 64 KiB";
                return Err(invalid(text).limit(MAX_FIELD_BYTES as u64));
            }
        }
        if self.fields > MAX_FIELDS {
            return Err(invalid("it has more than 32 fields").limit(MAX_FIELDS as u64));
        }
        Ok(())
    }
}

impl<'r> FilePart<'r> {
    /// The file's bytes. The stream ends without an error only if the whole form was read and
    /// contains no other file.
    pub(super) fn bytes(self, form: Form<'r>) -> impl Stream<Item = Result<Bytes, Problem>> + Send {
        stream::try_unfold((form, Some(self.data)), |(mut form, data)| async move {
            let Some(mut data) = data else {
                return Ok(None);
            };
            if let Some(chunk) = data.chunk().await.map_err(unwrap)? {
                return Ok(Some((chunk, (form, Some(data)))));
            }
            // The parser advances only after the previous part was dropped.
            drop(data);
            form.finish().await?;
            Ok(None)
        })
    }
}

/// Refuses a part in a transfer encoding that changes its bytes, which forms don't use any more (RFC
/// 7578, 4.7).
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(encoding) = headers.get(CONTENT_TRANSFER_ENCODING) else {
        return Ok(());
    };
    let encoding = encoding.as_bytes().trim_ascii();
    let is = |name: &&str| encoding.eq_ignore_ascii_case(name.as_bytes());
    if ["7bit", "8bit", "binary"].iter().any(is) {
        return Ok(());
    }
    let text = "the file's Content-Transfer-Encoding is not 7bit, 8bit or binary";
    Err(invalid(text).field("content-transfer-encoding"))
}

/// The problem of a parser's error: the body's own, or an invalid form.
fn unwrap(error: multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<Problem>() {
            Ok(problem) => *problem,
            Err(cause) => Problem::internal(cause),
        },
        other => {
            invalid("its parts or their headers are invalid, or its end is missing").cause(other)
        }
    }
}

fn invalid(what: &str) -> Problem {
    let text = format!("The body is not a well-formed multipart/form-data: {what}.");
    Problem::new(Code::MultipartInvalid, text)
}

/// A form's body, shared by the parser and the reader of what follows the form.
#[derive(Clone)]
pub(super) struct Wire<'r>(Arc<Mutex<WireState<'r>>>);

struct WireState<'r> {
    body: BoxStream<'r, Result<Bytes, Problem>>,
    /// A chunk was yielded, which the parser has to process first.
    has_yielded: bool,
    /// Bytes yielded since the parser began to look for a boundary or headers.
    searched_bytes: Option<usize>,
    sum: Option<Sha256>,
}

impl<'r> Wire<'r> {
    fn new(body: BoxStream<'r, Result<Bytes, Problem>>, hashed: bool) -> Wire<'r> {
        Wire(Arc::new(Mutex::new(WireState {
            body,
            has_yielded: false,
            searched_bytes: None,
            sum: hashed.then(Sha256::new),
        })))
    }

    /// From here on the yielded bytes are limited to what may separate two parts.
    fn limit(&self) {
        self.state().searched_bytes = Some(0);
    }

    /// From here on everything is yielded: the parser passes it on at once.
    fn unlimit(&self) {
        self.state().searched_bytes = None;
    }

    /// The SHA-256 of what was yielded so far, if it was requested.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        let sum = self.state().sum.clone();
        sum.map(|sum| sum.finalize().into())
    }

    fn state(&self) -> MutexGuard<'_, WireState<'r>> {
        // A panic in the body's stream ends the request, and this state with it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Wire<'_> {
    type Item = Result<Bytes, Problem>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.state();
        // The parser polls until nothing is ready, and would buffer a fast sender's whole file.
        if std::mem::take(&mut state.has_yielded) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if state
            .searched_bytes
            .is_some_and(|bytes| bytes >= MAX_BETWEEN_BYTES)
        {
            let text = "a boundary or a part's headers exceed 16 KiB";
            let problem = invalid(text).limit(MAX_BETWEEN_BYTES as u64);
            return Poll::Ready(Some(Err(problem)));
        }
        let given = ready!(state.body.poll_next_unpin(cx));
        if let Some(Ok(chunk)) = &given {
            state.has_yielded = true;
            state.searched_bytes = state.searched_bytes.map(|bytes| bytes + chunk.len());
            if let Some(sum) = &mut state.sum {
                sum.update(chunk);
            }
        }
        Poll::Ready(given)
    }
}
