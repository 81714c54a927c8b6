//! What happens in a simulation.

/// What happens. Numbers choose among what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A packet arrives.
    Deliver {
        /// From which bridge.
        from: u8,
        /// To which.
        to: u8,
        /// Which of those that may.
        choice: u8,
    },
    /// A connection to a bus reads a message.
    Read {
        /// Of which bridge.
        bridge: u8,
        /// Which of its connections.
        connection: u8,
    },
    /// A bridge hears what its bus says of names, or a signal.
    Watch(u8),
    /// A bridge reads another's tree.
    Tree {
        /// Whose.
        from: u8,
        /// Who.
        to: u8,
    },
    /// Connections are made and end.
    Connect(u8),
    /// A program calls an imported service.
    Call {
        /// On which bus.
        bridge: u8,
        /// Which program.
        program: u8,
        /// What.
        target: u8,
    },
    /// A program replies to a call.
    Reply {
        /// On which bus.
        bridge: u8,
        /// Which program.
        program: u8,
        /// To which of those that wait.
        choice: u8,
    },
    /// A service sends a signal to all.
    Signal {
        /// On which bus.
        bridge: u8,
        /// Which program.
        program: u8,
    },
    /// A service sends a signal to one that called it, or calls it.
    Direct {
        /// On which bus.
        bridge: u8,
        /// Which program.
        program: u8,
        /// Whom, and what.
        choice: u8,
    },
    /// A program ends, or begins.
    Toggle {
        /// On which bus.
        bridge: u8,
        /// Which.
        program: u8,
    },
    /// A bridge ends and begins anew.
    Restart(u8),
    /// Two bridges lose each other, or meet.
    Link(u8, u8),
    /// A bus ends, and another one begins.
    LoseBus(u8),
    /// Other rules hold.
    Rules(u8, u8),
    /// A view begins, or ends.
    View(u8),
    /// The program in a view calls a service.
    CallInView {
        /// Of which bridge.
        bridge: u8,
        /// What.
        target: u8,
    },
    /// A bus can start a service when it is called, or no longer.
    Activatable(u8),
    /// A bus starts a service that was called.
    Start(u8),
    /// So many seconds pass.
    Pass(u8),
    /// What has come is dealt with, but no time passes.
    Settle,
}

impl Operation {
    /// The operation that some octets say.
    #[must_use]
    pub fn of([kind, a, b, c]: [u8; 4]) -> Self {
        match kind % 64 {
            0..=15 => Self::Deliver {
                from: a,
                to: b,
                choice: c,
            },
            16..=27 => Self::Read {
                bridge: a,
                connection: b,
            },
            28..=33 => Self::Watch(a),
            34 => Self::Tree { from: a, to: b },
            35 | 36 => Self::Connect(a),
            37..=43 => Self::Call {
                bridge: a,
                program: b,
                target: c,
            },
            44..=47 => Self::Reply {
                bridge: a,
                program: b,
                choice: c,
            },
            48..=50 => Self::Signal {
                bridge: a,
                program: b,
            },
            51 | 52 => Self::Direct {
                bridge: a,
                program: b,
                choice: c,
            },
            53 | 54 => Self::Toggle {
                bridge: a,
                program: b,
            },
            55 => Self::Restart(a),
            56 => Self::Link(a, b),
            57 => Self::LoseBus(a),
            58 => Self::Rules(a, b),
            59 => Self::Pass(a % 64),
            60 => Self::View(a),
            61 => Self::CallInView {
                bridge: a,
                target: b,
            },
            62 if b % 2 == 0 => Self::Activatable(a),
            62 => Self::Start(a),
            _ => Self::Settle,
        }
    }
}
