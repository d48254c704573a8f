//! HTTP health answers: any common body shape, code and body both count.
//!
//! The order of thought: the class of the code, the kind of the body, the word under one of the names of the whole,
//! what that word means, the parts, the stamps and numbers, and at the end the worse of code and body. A word that is
//! not known never becomes `up`, and neither does a body that cannot be read: a login page comes with 200 too.

mod body;
mod fields;
mod json;
mod text;
mod words;

use std::sync::Arc;
use std::time::Duration;

pub use fields::Fields;

use self::body::Claim;
use self::fields::Sheet;
use crate::evidence::{Beat, Info, Numbers, Observation, Reach, Said, Says};
use crate::time::WallTime;
use crate::words::Failure;

/// Names of failing parts that are kept.
const FAILING: usize = 32;

/// What the answer is worth as an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The worker's own answer.
    Answered,
    /// It says that we ask wrongly: evidence of nothing.
    Misconfigured(Failure),
    /// We ask too often (429): the look has failed.
    Throttled,
}

/// Everything that one health answer says.
#[derive(Clone, Debug)]
pub struct HealthAnswer {
    /// What it is worth.
    pub standing: Standing,
    /// What it says of the whole and of the parts.
    pub says: Says,
    /// A heartbeat inside the body.
    pub beat: Option<Beat>,
    /// When it last did something, by its own clock: work, not a beat.
    pub last_activity: Option<WallTime>,
    /// Its numbers.
    pub numbers: Numbers,
    /// Host, process, version, start.
    pub info: Info,
    /// The queues that it names.
    pub task_queues: Vec<Arc<str>>,
    /// Who it says that it is, where it was asked for that.
    pub identity: Option<Arc<str>>,
}

impl HealthAnswer {
    pub(super) fn bare(standing: Standing, overall: Option<Said>, unreadable: Option<Failure>) -> Self {
        Self {
            standing,
            says: Says { overall, unreadable, ..Says::default() },
            beat: None,
            last_activity: None,
            numbers: Numbers::default(),
            info: Info::default(),
            task_queues: Vec::new(),
            identity: None,
        }
    }

    /// The same if it is of `wanted` by its own word. Else a stranger has the address now, or nobody can tell whose answer
    /// it is: nothing of it is evidence, neither that the worker is well nor that it is not. A path that is gone is no
    /// other thing: the stranger has none of that name.
    #[must_use]
    pub fn of(self, wanted: &str) -> Self {
        match self.standing {
            Standing::Answered | Standing::Misconfigured(Failure::NotFound)
                if self.identity.as_deref() != Some(wanted) =>
            {
                Self::bare(Standing::Misconfigured(Failure::Stranger), None, None)
            }
            _ => self,
        }
    }

    /// Puts it in an observation.
    ///
    /// # Errors
    /// [`Failure::Throttled`]: the answer is none, and the look has failed.
    pub fn put_into(self, observation: &mut Observation, took: Duration, deadline: Duration) -> Result<(), Failure> {
        observation.reach = Some(match self.standing {
            Standing::Answered => Reach::Answered { took, deadline },
            Standing::Misconfigured(failure) => Reach::Misconfigured(failure),
            Standing::Throttled => return Err(Failure::Throttled),
        });
        observation.says = self.says;
        observation.beat = self.beat;
        observation.last_activity = self.last_activity;
        observation.numbers = self.numbers;
        observation.info = self.info;
        observation.task_queues = self.task_queues;
        Ok(())
    }
}

/// What a code alone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// 2xx.
    Good,
    /// 5xx.
    Bad,
    /// 429.
    Throttled,
    /// We are at fault, whatever the body says.
    Ours(Failure),
    /// Other 4xx: our fault too, unless the body is unmistakably a health answer (the RFC draft allows 4xx for `fail`).
    Perhaps(Failure),
}

const fn class(code: u16) -> Class {
    match code {
        200..=299 => Class::Good,
        500..=599 => Class::Bad,
        429 => Class::Throttled,
        401 | 407 => Class::Ours(Failure::Unauthenticated),
        403 => Class::Ours(Failure::PermissionDenied),
        300..=399 => Class::Ours(Failure::Redirect),
        404 => Class::Ours(Failure::NotFound),
        400 | 405 | 406 => Class::Perhaps(Failure::InvalidArgument),
        402..=499 => Class::Perhaps(Failure::HttpStatus),
        _ => Class::Ours(Failure::HttpStatus),
    }
}

/// Reads one whole answer.
#[must_use]
pub fn read(code: u16, content_type: Option<&str>, body: &[u8], fields: &Fields) -> HealthAnswer {
    let class = class(code);
    if let Class::Ours(failure) = class {
        return HealthAnswer::bare(Standing::Misconfigured(failure), None, None);
    }
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    match shape(&content_type, body) {
        Shape::Nothing => settle(class, false, Claim::default(), |_| {}),
        Shape::Unreadable => unread(code, Failure::BodyInvalid),
        Shape::Text(claim) => settle(class, false, claim, |_| {}),
        Shape::Json(value) => {
            let mut claim = body::claim(&value);
            if let Some(found) = fields.point("status", &value) {
                body::pointed(found, &mut claim);
            }
            if let Some(found) = fields.point("alive", &value) {
                body::pointed_alive(found, &mut claim);
            }
            let own = content_type.contains("health+json") || content_type.contains("spring-boot.actuator");
            let mut sheet = Sheet::new(&value, fields);
            let alive = claim.alive;
            settle(class, own, claim, |answer| {
                answer.identity = fields.identity(&value);
                answer.numbers = sheet.numbers();
                answer.beat = sheet.beat(alive);
                answer.last_activity = sheet.last_activity();
                answer.task_queues = sheet.task_queues();
                answer.info = sheet.info();
                if sheet.invalid {
                    answer.says.unreadable = Some(Failure::FieldInvalid);
                }
            })
        }
    }
}

/// What an answer is worth whose body was not or could not be read (too large, compressed although we asked for none,
/// no health answer at all): the code decides, and no better than `degraded`.
#[must_use]
pub fn unread(code: u16, why: Failure) -> HealthAnswer {
    match class(code) {
        Class::Good => HealthAnswer::bare(Standing::Answered, Some(Said::Degraded), Some(why)),
        Class::Bad => HealthAnswer::bare(Standing::Answered, Some(Said::Down), Some(why)),
        Class::Throttled => HealthAnswer::bare(Standing::Throttled, None, None),
        Class::Ours(failure) | Class::Perhaps(failure) => {
            HealthAnswer::bare(Standing::Misconfigured(failure), None, None)
        }
    }
}

/// Brings code and body together; the worse wins.
fn settle(class: Class, own: bool, claim: Claim, add: impl FnOnce(&mut HealthAnswer)) -> HealthAnswer {
    let worst_part = claim.parts.values().copied().max();
    let said = match claim.said {
        None if claim.unrecognised => Some(Said::Transient),
        None => worst_part,
        // A part that is down under a whole that is up is a warning: whoever answers has seen it and goes on.
        Some(whole) => Some(match worst_part {
            Some(Said::Degraded | Said::Down) => whole.max(Said::Degraded),
            _ => whole,
        }),
    };
    let by_code = match class {
        Class::Good => Said::Up,
        Class::Bad => Said::Down,
        // Consul's own endpoints say a warning with 429.
        Class::Throttled if claim.consul => Said::Degraded,
        Class::Throttled => return HealthAnswer::bare(Standing::Throttled, None, None),
        Class::Perhaps(_) if said == Some(Said::Down) && (own || !claim.parts.is_empty()) => Said::Down,
        Class::Perhaps(failure) | Class::Ours(failure) => {
            return HealthAnswer::bare(Standing::Misconfigured(failure), None, None);
        }
    };
    let body = claim.said.or(said);
    let contradiction = matches!((by_code, body), (Said::Up, Some(Said::Down)) | (Said::Down, Some(Said::Up)));
    let mut failing: Vec<(Arc<str>, Said)> = claim
        .parts
        .iter()
        .filter(|(_, said)| **said != Said::Up)
        .map(|(name, said)| (Arc::from(name.as_str()), *said))
        .collect();
    // Worst first, so that the bound never hides the one that matters.
    failing.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    failing.truncate(FAILING);
    let mut answer = HealthAnswer::bare(Standing::Answered, Some(said.map_or(by_code, |said| said.max(by_code))), None);
    answer.says.alive = claim.alive;
    answer.says.goodbye = claim.goodbye;
    answer.says.starting = claim.starting;
    answer.says.contradiction = contradiction;
    answer.says.body = body;
    answer.says.failing = failing;
    if claim.unrecognised || claim.invalid {
        answer.says.unreadable = Some(Failure::FieldInvalid);
    }
    add(&mut answer);
    answer
}

enum Shape {
    /// An empty body (vLLM, 204): the code says it all.
    Nothing,
    /// It promises something and is something else, or says nothing that is understood.
    Unreadable,
    Text(Claim),
    Json(serde_json::Value),
}

fn shape(content_type: &str, body: &[u8]) -> Shape {
    let is_json = content_type.contains("json");
    if body.iter().all(u8::is_ascii_whitespace) {
        // A framework that says JSON and sends nothing was cut short.
        return if is_json { Shape::Unreadable } else { Shape::Nothing };
    }
    // NUL bytes, UTF-16 and binary answers end here.
    let Ok(text) = std::str::from_utf8(body) else { return Shape::Unreadable };
    let read = if is_json || text.trim_start().starts_with(['{', '[']) && !is_verbose_list(text) {
        json::parse(text).map(Shape::Json)
    } else if text::is_markup(content_type, text) {
        text::html(text).map(Shape::Text)
    } else {
        // `"OK"` with its quotes is JSON without its content type.
        let bare = text.trim();
        let bare = bare.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(bare);
        text::claim(bare).map(Shape::Text)
    };
    read.unwrap_or(Shape::Unreadable)
}

/// Kubernetes begins its lines with `[+]` and `[-]`.
fn is_verbose_list(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("[+]") || text.starts_with("[-]")
}
