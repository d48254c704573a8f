//! A FAKE source that plays a script, for the tests of what stands around sources: a real one will not hang, panic
//! or be slow to the millisecond on demand. A look beyond the script fails the test.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use verdict::evidence::{Listing, Report, Scope};
use verdict::words::Failure;

use super::Observe;

/// What the source does at one look.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Answers with an empty list after this long.
    AnswersAfter(Duration),
    /// Never answers.
    Hangs,
    /// A bug.
    Panics,
    /// The look fails.
    Fails(Failure),
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Scenario {
    script: Mutex<VecDeque<Act>>,
    /// What is played when the script is over.
    then: Option<Act>,
    looks: Mutex<Vec<Scope>>,
}

impl Scenario {
    pub(crate) fn new(script: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), then: None, looks: Mutex::default() })
    }

    pub(crate) fn always(act: Act) -> Arc<Self> {
        Arc::new(Self { script: Mutex::default(), then: Some(act), looks: Mutex::default() })
    }

    /// What was looked at so far.
    pub(crate) fn looks(&self) -> Vec<Scope> {
        self.looks.lock().expect("no test panics while it holds this").clone()
    }
}

impl Observe for Scenario {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        self.looks.lock().expect("no test panics while it holds this").push(scope.clone());
        let act = self.script.lock().expect("no test panics while it holds this").pop_front().or(self.then);
        Box::pin(async move {
            match act.expect("a look that the script does not know") {
                Act::AnswersAfter(time) => {
                    tokio::time::sleep(time).await;
                    Ok(Report::Listing(Listing::default()))
                }
                Act::Hangs => std::future::pending().await,
                Act::Panics => panic!("scripted"),
                Act::Fails(failure) => Err(failure),
            }
        })
    }
}
