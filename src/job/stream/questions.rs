//! The values of a stream whose sender waits for an answer.

/// Where the answer to a question goes.
enum State<S> {
    /// To a thread of this process, which waits for it.
    Open,
    /// It is there.
    Answered(Option<S>),
    /// To the worker, which knows the question by this number.
    There(u32),
}

/// What became of an answer.
pub(super) enum Fate<S> {
    /// It is kept for the one who asked.
    Kept,
    /// It is to go to the worker, for the question that has this number there.
    There(u32, Option<S>),
    /// Nobody waits for it any more.
    Unwanted(Option<S>),
}

/// The questions of the run that goes on. Their numbers, the tickets, do not start anew with a run:
/// what readers answer to the one before reaches nobody.
pub(super) struct Questions<S> {
    last_ticket: u32,
    open: Vec<(u32, State<S>)>,
}

impl<S> Questions<S> {
    pub(super) const fn new() -> Self {
        Self { last_ticket: 0, open: Vec::new() }
    }

    fn add(&mut self, state: State<S>) -> u32 {
        self.last_ticket = self.last_ticket.wrapping_add(1);
        self.open.push((self.last_ticket, state));
        self.last_ticket
    }

    fn position(&self, ticket: u32) -> Option<usize> {
        self.open.iter().position(|(of, _)| *of == ticket)
    }

    /// A thread of this process asks.
    pub(super) fn ask(&mut self) -> u32 {
        self.add(State::Open)
    }

    /// The worker asks, under that number of its own.
    pub(super) fn ask_from(&mut self, number: u32) -> u32 {
        self.add(State::There(number))
    }

    /// A reader answers.
    pub(super) fn answer(&mut self, ticket: u32, answer: Option<S>) -> Fate<S> {
        let Some(at) = self.position(ticket) else { return Fate::Unwanted(answer) };
        match self.open[at].1 {
            State::Open => {
                self.open[at].1 = State::Answered(answer);
                Fate::Kept
            }
            State::There(number) => {
                self.open.swap_remove(at);
                Fate::There(number, answer)
            }
            State::Answered(_) => Fate::Unwanted(answer),
        }
    }

    /// Takes the answer, if it is there.
    pub(super) fn take(&mut self, ticket: u32) -> Option<Option<S>> {
        let at = self
            .open
            .iter()
            .position(|(of, state)| *of == ticket && matches!(state, State::Answered(_)))?;
        match self.open.swap_remove(at).1 {
            State::Answered(answer) => Some(answer),
            State::Open | State::There(_) => None,
        }
    }

    /// Who asked waits no more.
    pub(super) fn forget(&mut self, ticket: u32) {
        if let Some(at) = self.position(ticket) {
            self.open.swap_remove(at);
        }
    }

    /// The run is over. Gives the answers that nobody took: they are a user's, to be dropped where
    /// that may call whatever it likes.
    #[must_use]
    pub(super) fn end(&mut self) -> Vec<S> {
        let left = self.open.drain(..).filter_map(|(_, state)| match state {
            State::Answered(answer) => answer,
            State::Open | State::There(_) => None,
        });
        left.collect()
    }
}
