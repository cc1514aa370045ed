//! Forms (`multipart/form-data`) with one file, read as a stream.
//!
//! The parser buffers whatever its source has ready while it looks for a boundary or a part's
//! headers. `Wire` stands between it and the body, gives one chunk at a time and bounds that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use multer::{Field, Multipart};
use sha2::{Digest, Sha256};

use super::disposition::{self, Style};
use lakechat_core::domain::{Code, Problem};
use lakechat_core::files::{FileName, MediaType};

/// The most bytes, beside one chunk, in which a boundary and a part's headers must end.
const MAX_BETWEEN_BYTES: usize = 16 * 1024;

/// The most bytes of all fields that are no file, and the most of such fields.
const MAX_FIELD_BYTES: usize = 64 * 1024;
const MAX_FIELDS: usize = 32;

/// RFC 2046.
const MAX_BOUNDARY_BYTES: usize = 70;

/// More than all that a form may hold beside its file.
pub(super) const OVERHEAD_BYTES: u64 =
    (MAX_FIELD_BYTES + (MAX_FIELDS + 3) * 2 * MAX_BETWEEN_BYTES) as u64;

/// The boundary that a form's media type names.
pub(super) fn boundary(media_type: &str) -> Result<String, Problem> {
    match multer::parse_boundary(media_type) {
        Ok(boundary) if (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()) => Ok(boundary),
        _ => Err(invalid(
            "its Content-Type names no boundary of 1 to 70 characters",
        )),
    }
}

/// A form on its way in.
pub(super) struct Form<'r> {
    wire: Wire<'r>,
    parser: Multipart<'r>,
    fields: usize,
    field_bytes: usize,
}

/// The one file of a form. Its bytes come with `bytes`.
pub(super) struct FilePart<'r> {
    pub(super) name: FileName,
    pub(super) media_type: Option<MediaType>,
    data: Field<'r>,
}

impl<'r> Form<'r> {
    /// `hashed` says whether the SHA-256 of the whole form is wanted.
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

    /// Goes on to the file; `file_missing` if there is none.
    pub(super) async fn file(&mut self) -> Result<FilePart<'r>, Problem> {
        let missing = || {
            let text = "The form has no file: one part must have a filename.";
            Problem::new(Code::FileMissing, text)
        };
        let (name, data) = self.next_file().await?.ok_or_else(missing)?;
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

    /// Reads what follows the file, up to the end of the body: no second file may be there.
    async fn finish(&mut self) -> Result<(), Problem> {
        if self.next_file().await?.is_some() {
            let text = "The form has more than one file; one is taken in a call.";
            return Err(Problem::new(Code::TooManyFiles, text).limit(1));
        }
        self.wire.look();
        while let Some(rest) = self.wire.next().await {
            rest?;
        }
        Ok(())
    }

    /// Goes on to the next part with a file name, past those that have none.
    async fn next_file(&mut self) -> Result<Option<(String, Field<'r>)>, Problem> {
        loop {
            self.wire.look();
            let Some(field) = self.parser.next_field().await.map_err(unwrap)? else {
                return Ok(None);
            };
            self.wire.stream();
            let header = field.headers().get(CONTENT_DISPOSITION);
            let header = header.ok_or_else(|| invalid("a part has no Content-Disposition"))?;
            let name = disposition::file_name(header, Style::Form)
                .map_err(|_| invalid("a part's Content-Disposition can't be read"))?;
            match name {
                Some(name) => return Ok(Some((name, field))),
                None => self.skip(field).await?,
            }
        }
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
    /// The file's bytes. The stream ends without an error only when the whole form was read and
    /// holds no other file.
    pub(super) fn bytes(self, form: Form<'r>) -> impl Stream<Item = Result<Bytes, Problem>> + Send {
        stream::try_unfold((form, Some(self.data)), |(mut form, data)| async move {
            let Some(mut data) = data else {
                return Ok(None);
            };
            if let Some(chunk) = data.chunk().await.map_err(unwrap)? {
                return Ok(Some((chunk, (form, Some(data)))));
            }
            // The parser goes on only when the part before is gone.
            drop(data);
            form.finish().await?;
            Ok(None)
        })
    }
}

/// The problem behind an error of the parser: the body's own, or that the form is none.
fn unwrap(error: multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<Problem>() {
            Ok(problem) => *problem,
            Err(cause) => Problem::internal(cause),
        },
        other => {
            invalid("its parts or their headers can't be read, or its end is missing").cause(other)
        }
    }
}

fn invalid(what: &str) -> Problem {
    let text = format!("The body is not a well-formed multipart/form-data: {what}.");
    Problem::new(Code::MultipartInvalid, text)
}

/// A form's body, shared by the parser and by who reads what is behind the form.
#[derive(Clone)]
pub(super) struct Wire<'r>(Arc<Mutex<WireState<'r>>>);

struct WireState<'r> {
    body: BoxStream<'r, Result<Bytes, Problem>>,
    /// A chunk was given, and the parser has to work on it first.
    gave: bool,
    /// Bytes given since the parser began to look for something that must come soon.
    looked_at: Option<usize>,
    sum: Option<Sha256>,
}

impl<'r> Wire<'r> {
    fn new(body: BoxStream<'r, Result<Bytes, Problem>>, hashed: bool) -> Wire<'r> {
        Wire(Arc::new(Mutex::new(WireState {
            body,
            gave: false,
            looked_at: None,
            sum: hashed.then(Sha256::new),
        })))
    }

    /// From here on only so much is given as may stand between two parts.
    fn look(&self) {
        self.state().looked_at = Some(0);
    }

    /// From here on everything is given: the parser hands it on at once.
    fn stream(&self) {
        self.state().looked_at = None;
    }

    /// The SHA-256 of what was given so far, where it was wanted.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        let sum = self.state().sum.clone();
        sum.map(|sum| sum.finalize().into())
    }

    fn state(&self) -> MutexGuard<'_, WireState<'r>> {
        // A panic in the body's stream ends the request, and the state with it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Wire<'_> {
    type Item = Result<Bytes, Problem>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.state();
        // The parser takes chunks until none is ready, and would hold a quick sender's whole file.
        if std::mem::take(&mut state.gave) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if state
            .looked_at
            .is_some_and(|bytes| bytes >= MAX_BETWEEN_BYTES)
        {
            let text = "a boundary or a part's headers don't end within 16 KiB";
            let problem = invalid(text).limit(MAX_BETWEEN_BYTES as u64);
            return Poll::Ready(Some(Err(problem)));
        }
        let given = ready!(state.body.poll_next_unpin(cx));
        if let Some(Ok(chunk)) = &given {
            state.gave = true;
            state.looked_at = state.looked_at.map(|bytes| bytes + chunk.len());
            if let Some(sum) = &mut state.sum {
                sum.update(chunk);
            }
        }
        Poll::Ready(given)
    }
}
