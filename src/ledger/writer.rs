//! One thread owns the connection. Writes that wait together are committed together.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{LedgerError, schema};

/// What the thread is asked to do.
enum Job {
    Write(Box<dyn Work>),
    Read(Box<dyn FnOnce(&Connection) + Send>),
}

/// One write: runs inside a savepoint, hears of the commit afterwards.
trait Work: Send {
    fn run(&mut self, conn: &Connection) -> bool;
    fn done(self: Box<Self>, committed: Result<(), String>);
}

struct Write<T, F> {
    work: Option<F>,
    result: Option<Result<T, LedgerError>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Work for Write<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, LedgerError> + Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        let result = match self.work.take() {
            Some(work) => work(conn),
            None => Err(LedgerError::Broken("a write ran twice".into())),
        };
        let ok = result.is_ok();
        self.result = Some(result);
        ok
    }

    fn done(self: Box<Self>, committed: Result<(), String>) {
        let result = match (self.result, committed) {
            (Some(Ok(_)), Err(say)) => Err(LedgerError::Broken(say)),
            (Some(result), _) => result,
            (None, Err(say)) => Err(LedgerError::Broken(say)),
            (None, Ok(())) => Err(LedgerError::Broken("the write never ran".into())),
        };
        // The asker may have gone; what was committed stays committed.
        let _ = self.reply.send(result);
    }
}

/// The most writes that share one commit, so that no one waits for a crowd.
const GROUP: usize = 64;

/// The handle of the writer thread. Dropping the last one ends the thread after its queue is empty.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    path: PathBuf,
}

impl Writer {
    /// Opens (or creates) the file on the calling thread, so that errors are seen, then starts the writer thread.
    pub(super) fn open(path: &Path, now_ms: u64) -> Result<Writer, LedgerError> {
        let conn = schema::open(path, now_ms)?;
        let (jobs, queue) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("ledger".into())
            .spawn(move || serve(&conn, &queue))
            .map_err(|e| LedgerError::Broken(format!("the ledger's thread did not start: {e}")))?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread), path: path.to_owned() })
    }

    /// Runs `work` in a transaction and answers after its commit is on disk. An error rolls back what it did.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Write(Box::new(Write { work: Some(work), result: None, reply })))?;
        answer.await.map_err(|_| self.gone())?
    }

    /// Runs `work` outside a transaction.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Read(Box::new(move |conn| {
            let _ = reply.send(work(conn));
        })))?;
        answer.await.map_err(|_| self.gone())?
    }

    fn send(&self, job: Job) -> Result<(), LedgerError> {
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(|| self.gone())
    }

    fn gone(&self) -> LedgerError {
        LedgerError::Broken(format!("the writer of {} has stopped", self.path.display()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(conn: &Connection, queue: &mpsc::Receiver<Job>) {
    let mut next = None;
    loop {
        let job = match next.take() {
            Some(job) => job,
            None => match queue.recv() {
                Ok(job) => job,
                Err(_) => return,
            },
        };
        match job {
            Job::Read(work) => work(conn),
            Job::Write(first) => {
                let mut group = vec![first];
                while group.len() < GROUP {
                    match queue.try_recv() {
                        Ok(Job::Write(work)) => group.push(work),
                        Ok(read @ Job::Read(_)) => {
                            next = Some(read);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                let committed = commit(conn, &mut group).map_err(|e| LedgerError::from(e).to_string());
                for work in group {
                    work.done(committed.clone());
                }
            }
        }
    }
}

fn commit(conn: &Connection, group: &mut [Box<dyn Work>]) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let ran = (|| {
        for work in group.iter_mut() {
            conn.execute_batch("SAVEPOINT work")?;
            if !work.run(conn) {
                conn.execute_batch("ROLLBACK TO work")?;
            }
            conn.execute_batch("RELEASE work")?;
        }
        conn.execute_batch("COMMIT")
    })();
    if ran.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    ran
}
