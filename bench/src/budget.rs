//! [`Budgets`]: what was measured, beside what it may be.

use std::fmt;
use std::process::ExitCode;

/// Lines of a table, each met or not.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    what: String,
    unit: &'static str,
    measured: f64,
    bound: Bound,
}

/// What a quantity may be.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// It is told only.
    Any,
}

impl Line {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.measured <= most,
            Bound::AtLeast(least) => self.measured >= least,
            Bound::Any => true,
        }
    }
}

impl Budgets {
    /// A quantity that is at most `most`.
    pub(crate) fn at_most(&mut self, what: impl Into<String>, measured: f64, unit: &'static str, most: f64) {
        self.lines.push(Line { what: what.into(), unit, measured, bound: Bound::AtMost(most) });
    }

    /// A quantity that is at least `least`.
    pub(crate) fn at_least(
        &mut self,
        what: impl Into<String>,
        measured: f64,
        unit: &'static str,
        least: f64,
    ) {
        self.lines.push(Line { what: what.into(), unit, measured, bound: Bound::AtLeast(least) });
    }

    /// A quantity without a budget.
    pub(crate) fn told(&mut self, what: impl Into<String>, measured: f64, unit: &'static str) {
        self.lines.push(Line { what: what.into(), unit, measured, bound: Bound::Any });
    }

    /// How a program ends that has measured this.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.lines.iter().all(Line::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let Line { what, unit, measured, bound } = line;
            write!(f, "{what:<44} {measured:>12.2} {unit:<8}")?;
            let verdict = if line.is_met() { "ok" } else { "MISSED" };
            match bound {
                Bound::AtMost(most) => writeln!(f, " at most {most:>9.2}  {verdict}")?,
                Bound::AtLeast(least) => writeln!(f, " at least {least:>8.2}  {verdict}")?,
                Bound::Any => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missed_budget_fails_all() {
        let mut budgets = Budgets::default();
        budgets.at_most("a", 1.0, "s", 1.0);
        budgets.told("b", 9.0, "s");
        assert_eq!(format!("{:?}", budgets.exit_code()), format!("{:?}", ExitCode::SUCCESS));
        budgets.at_most("c", 1.1, "s", 1.0);
        assert_eq!(format!("{:?}", budgets.exit_code()), format!("{:?}", ExitCode::FAILURE));
        let missed = |line: &&str| line.ends_with("MISSED");
        assert_eq!(budgets.to_string().lines().filter(missed).count(), 1);
        budgets.at_least("d", 1.0, "s", 1.0);
        assert_eq!(budgets.to_string().lines().filter(missed).count(), 1);
        budgets.at_least("e", 0.9, "s", 1.0);
        assert_eq!(budgets.to_string().lines().filter(missed).count(), 2);
    }
}
