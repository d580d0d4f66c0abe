//! Work outside of Kubernetes (SQL, S3, requests through the gateway) without making a reconcile wait for it.
//!
//! A check runs as a task of its own, at most a fixed number at once in the whole operator. A reconcile asks for the
//! result: it gets what is known, and is woken when that changes. One project's dead database delays no other project.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::BackoffBuilder;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::cluster::{ProjectKey, Trigger};
use crate::reason::{Problem, Progress, Reason};
use crate::render::Digest;

/// How long a success is believed while nothing suggests otherwise. A steady project's pods report the loss of their
/// database by themselves, through readiness.
pub const STEADY: Duration = Duration::from_secs(15 * 60);
/// The same for the bucket: proving it writes an object.
pub const STEADY_BUCKET: Duration = Duration::from_secs(6 * 60 * 60);
/// The same while something suggests otherwise.
pub const DOUBTFUL: Duration = Duration::from_secs(5);

/// Delays between attempts that fail: two seconds, doubled up to fifteen. Short, because the user who mends a database
/// is waiting; a mended Secret is another fingerprint and does not wait at all.
fn delay(failures: usize) -> Duration {
    let mut delays = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(2))
        .with_max_delay(Duration::from_secs(15))
        .without_max_times()
        .build();
    delays.nth(failures.saturating_sub(1)).unwrap_or(Duration::from_secs(15))
}

/// How long something took. No news: two of them are always equal, so that a success that differs in nothing else wakes
/// nobody and writes nothing.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct Latency(pub Duration);

impl PartialEq for Latency {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What every check needs.
#[derive(Clone)]
pub struct Runner {
    first: Arc<Semaphore>,
    again: Arc<Semaphore>,
    trigger: Trigger,
}

impl Runner {
    /// `limit`: checks that run at once in the whole operator; each holds at most two SQL connections. A quarter of them
    /// is for what failed before, so that many dead servers do not keep a healthy one waiting.
    pub fn new(limit: usize, trigger: Trigger) -> Self {
        let again = (limit / 4).max(1);
        let first = limit.saturating_sub(again).max(1);
        Self { first: Arc::new(Semaphore::new(first)), again: Arc::new(Semaphore::new(again)), trigger }
    }
}

/// What is known, and when to ask again: the end of a check wakes its project only if it has something new to say.
#[derive(Debug, PartialEq)]
pub struct Answer<T> {
    pub progress: Progress<T>,
    pub again: Duration,
}

/// What is asked of a check.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub project: &'a ProjectKey,
    /// What the answer depends on.
    pub fingerprint: Digest,
    /// How old a success may be.
    pub fresh: Duration,
    /// Whether the last result holds until there is a new one, even if it was about something else.
    pub past_holds: bool,
}

/// One check of one project: its last result, and whether it runs.
pub struct Check<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    /// What the result is about: a changed input is another fingerprint, and makes the result worthless.
    fingerprint: Option<Digest>,
    running: Option<AbortHandle>,
    result: Option<Result<T, Problem>>,
    /// The last success with this fingerprint.
    proven: Option<T>,
    finished: Option<Instant>,
    failures: usize,
}

impl<T> Default for Check<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State::about(None))))
    }
}

/// Work about something else than the last time is given up: it could undo what its successor does.
impl<T> Drop for State<T> {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Clone + PartialEq + Send + 'static> Check<T> {
    /// What is known. Starts the work when nothing is, when a success is older than the question allows, and when a
    /// failure is due for another attempt.
    pub fn ask<F>(&self, runner: &Runner, question: &Question<'_>, work: impl FnOnce() -> F) -> Answer<T>
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let Question { project, fingerprint, fresh, past_holds } = *question;
        let mut state = lock(&self.0);
        if state.fingerprint != Some(fingerprint) {
            let result = state.result.take().filter(|_| past_holds);
            *state = State::about(Some(fingerprint));
            state.result = result;
        }
        if state.running.is_none() && state.is_due(fresh) {
            let limit = if state.failures > 0 { runner.again.clone() } else { runner.first.clone() };
            let work = work();
            let task = tokio::spawn(async move {
                // The semaphore is never closed; were it, the work would run unbounded rather than never.
                let _permit = limit.acquire().await;
                work.await
            });
            state.running = Some(task.abort_handle());
            let (check, trigger, project) = (Self(self.0.clone()), runner.trigger.clone(), project.clone());
            tokio::spawn(async move {
                // An abort is a successor's doing, which has its own end.
                let result = match task.await {
                    Err(error) if error.is_cancelled() => return,
                    result => result.unwrap_or_else(|_| Err(broken())),
                };
                if check.finish(fingerprint, result) {
                    trigger.fire(&project).await;
                }
            });
        }
        let progress = match &state.result {
            None => Progress::Running,
            Some(Ok(value)) => Progress::Done(value.clone()),
            Some(Err(problem)) => Progress::Failed(problem.clone()),
        };
        Answer { progress, again: state.again(fresh) }
    }

    /// The last success for this fingerprint, whatever came after.
    pub fn proven(&self, fingerprint: Digest) -> Option<T> {
        let state = lock(&self.0);
        state.proven.clone().filter(|_| state.fingerprint == Some(fingerprint))
    }

    /// Takes in a result. Returns whether it says something new.
    fn finish(&self, fingerprint: Digest, result: Result<T, Problem>) -> bool {
        let mut state = lock(&self.0);
        if state.fingerprint != Some(fingerprint) {
            return false;
        }
        let news = state.result.as_ref() != Some(&result);
        state.failures = if result.is_ok() { 0 } else { state.failures + 1 };
        state.running = None;
        state.finished = Some(Instant::now());
        if news {
            state.proven = result.as_ref().ok().cloned().or(state.proven.take());
            state.result = Some(result);
        }
        news
    }
}

/// A check that panicked must not look as if it were still running.
fn broken() -> Problem {
    Problem::new(Reason::CheckFailed, "a check ended unexpectedly; it is tried again, and the operator's log says more")
}

impl<T> State<T> {
    fn about(fingerprint: Option<Digest>) -> Self {
        Self { fingerprint, running: None, result: None, proven: None, finished: None, failures: 0 }
    }

    fn patience(&self, fresh: Duration) -> Duration {
        if self.failures > 0 { delay(self.failures) } else { fresh }
    }

    fn is_due(&self, fresh: Duration) -> bool {
        self.finished.is_none_or(|finished| finished.elapsed() >= self.patience(fresh))
    }

    fn again(&self, fresh: Duration) -> Duration {
        match self.finished.filter(|_| self.running.is_none()) {
            Some(finished) => self.patience(fresh).saturating_sub(finished.elapsed()),
            // It says something new, or what it said before holds for as long as another success would; a failure that
            // repeats itself is looked at again after its own pause.
            None => self.patience(fresh),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn trigger() -> (Trigger, crate::cluster::Wakes) {
        let (trigger, mut wakes) = Trigger::new(&[None]);
        (trigger, wakes.remove(0).1)
    }

    fn project() -> ProjectKey {
        ProjectKey { namespace: "tenant".into(), name: "demo".into() }
    }

    fn question<'a>(project: &'a ProjectKey, about: &str, fresh: Duration) -> Question<'a> {
        Question { project, fingerprint: digest(about), fresh, past_holds: false }
    }

    fn digest(text: &str) -> Digest {
        Digest::of_bytes(text.as_bytes())
    }

    #[tokio::test]
    async fn a_result_is_remembered_and_wakes_once() {
        let (trigger, mut woken) = trigger();
        let runner = Runner::new(1, trigger);
        let check = Check::default();
        let runs = Arc::new(AtomicUsize::new(0));
        let ask = |fresh| {
            let runs = runs.clone();
            let work = || async move { Ok(Latency(Duration::from_secs(runs.fetch_add(1, Ordering::SeqCst) as u64))) };
            check.ask(&runner, &question(&project(), "a", fresh), work).progress
        };
        assert_eq!(ask(STEADY), Progress::Running);
        woken.recv().await.unwrap();
        assert_eq!(ask(STEADY), Progress::Done(Latency(Duration::ZERO)));
        // Stale: asked again, the old answer meanwhile; the same outcome wakes nobody.
        assert_eq!(ask(Duration::ZERO), Progress::Done(Latency(Duration::ZERO)));
        while runs.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        assert!(woken.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_result_about_something_else_is_worthless() {
        let (trigger, mut woken) = trigger();
        let runner = Runner::new(1, trigger);
        let check = Check::default();
        let problem = Problem::new(Reason::DatabaseUnreachable, "gone");
        let failing = problem.clone();
        check.ask(&runner, &question(&project(), "wrong password", STEADY), || async move { Err::<(), _>(failing) });
        woken.recv().await.unwrap();
        let again = check.ask(&runner, &question(&project(), "wrong password", STEADY), || async { Ok(()) }).progress;
        assert_eq!(again, Progress::Failed(problem), "a failure is not repeated at once");
        let mended = check.ask(&runner, &question(&project(), "right password", STEADY), || async { Ok(()) }).progress;
        assert_eq!(mended, Progress::Running, "another input does not wait");
        woken.recv().await.unwrap();
        assert_eq!(
            check.ask(&runner, &question(&project(), "right password", STEADY), || async { Ok(()) }).progress,
            Progress::Done(())
        );
    }

    #[tokio::test]
    async fn no_more_run_at_once_than_allowed() {
        let (trigger, mut woken) = trigger();
        let runner = Runner::new(3, trigger);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let checks: Vec<Check<()>> = (0..8).map(|_| Check::default()).collect();
        for check in &checks {
            let (now, most) = (now.clone(), most.clone());
            check.ask(&runner, &question(&project(), "a", STEADY), || async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            });
        }
        for _ in 0..8 {
            woken.recv().await.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn while_it_runs_and_after_an_equal_result_there_is_a_time_to_ask_again() {
        let (trigger, mut woken) = trigger();
        let runner = Runner::new(4, trigger);
        let check = Check::default();
        let ask = |fresh| check.ask(&runner, &question(&project(), "a", fresh), || async { Ok(()) });
        assert_eq!(ask(DOUBTFUL), Answer { progress: Progress::Running, again: DOUBTFUL });
        woken.recv().await.unwrap();
        assert!(ask(STEADY).again > STEADY / 2);
        // Overdue: it runs again and wakes nobody, so the pass must come back by itself.
        let answer = ask(Duration::ZERO);
        assert_eq!(answer.progress, Progress::Done(()));
        assert!(ask(DOUBTFUL).again <= DOUBTFUL);
    }

    #[tokio::test]
    async fn work_about_something_else_is_given_up() {
        let (trigger, mut woken) = trigger();
        let runner = Runner::new(4, trigger);
        let check = Check::default();
        let late = Arc::new(AtomicUsize::new(0));
        let writes = late.clone();
        check.ask(&runner, &question(&project(), "old", STEADY), || async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            writes.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        check.ask(&runner, &question(&project(), "new", STEADY), || async { Ok(()) });
        woken.recv().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(late.load(Ordering::SeqCst), 0);
        assert!(check.proven(digest("new")).is_some() && check.proven(digest("old")).is_none());
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_and_not_an_endless_wait() {
        let (trigger, mut woken) = trigger();
        let runner = Runner::new(4, trigger);
        let check: Check<()> = Check::default();
        let ask = || check.ask(&runner, &question(&project(), "a", STEADY), || async { panic!("in a test") }).progress;
        assert_eq!(ask(), Progress::Running);
        woken.recv().await.unwrap();
        assert_eq!(ask().failed().unwrap().reason, Reason::CheckFailed);
    }

    #[test]
    fn delays_grow_to_fifteen_seconds() {
        let delays: Vec<u64> = (1..=5).map(|failures| delay(failures).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 15, 15]);
    }
}
