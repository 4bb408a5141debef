//! What has to be true of a run, and what is not.

use crate::cells::{Expected, Hop};
use crate::stage::{Cell, Outcome};
use crate::support::clients::Client;

/// What the registry says of a token that has died.
const DEAD_TOKEN: [&str; 3] = ["invalid token", "token is expired", "token not to be used after"];

/// One sentence for each thing that is wrong.
pub(crate) fn judge(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().flat_map(judge_one).collect()
}

fn judge_one(outcome: &Outcome) -> Vec<String> {
    let name = outcome.combination.name();
    let mut wrong: Vec<String> = outcome
        .cells
        .iter()
        .filter_map(|cell| judge_cell(outcome, cell))
        .map(|what| format!("{name}: {what}"))
        .collect();
    let Some(proof) = &outcome.proof else { return wrong };
    if !proof.asked {
        wrong.push(format!("{name}: the registry's access log is empty, which proves nothing"));
    }
    if !proof.strangers.is_empty() {
        wrong.push(format!("{name}: the registry was asked by others than Tidegate: {:?}", proof.strangers));
    }
    wrong.extend(
        proof.robbed.iter().map(|what| format!("{name}: a token request went round Tidegate or was robbed: {what}")),
    );
    if proof.log_bytes == 0 {
        wrong.push(format!("{name}: Tidegate logged nothing, so that it leaks nothing proves nothing"));
    }
    if proof.tickets == 0 && !outcome.combination.tls {
        wrong.push(format!("{name}: no ticket was seen on the line, so that none was logged proves nothing"));
    }
    wrong.extend(proof.leaks.iter().map(|leak| format!("{name}: {leak}")));
    let passes = |cell: &Cell| outcome.combination.expected(cell.client) == Expected::Passes;
    let saves = outcome.combination.hop != Hop::Straight && outcome.cells.iter().any(passes);
    if saves && proof.rescues == 0 {
        wrong.push(format!("{name}: no rescue was counted"));
    }
    wrong
}

fn judge_cell(outcome: &Outcome, cell: &Cell) -> Option<String> {
    let client = cell.client.name();
    match outcome.combination.expected(cell.client) {
        Expected::Passes if !cell.passed => {
            Some(format!("{client} failed: {} / registry: {}", cell.client_words, cell.registry_words))
        }
        Expected::CannotPass if cell.passed => Some(format!("{client} passed, which was declared impossible")),
        Expected::CannotPass if !DEAD_TOKEN.iter().any(|words| cell.registry_words.contains(words)) => {
            Some(format!("{client} failed for another reason than the declared one: {}", cell.client_words))
        }
        // A hop that harms nobody would make every rescue in the other combinations an empty word.
        Expected::Recorded if cell.passed && outcome.combination.hop == Hop::Front && cell.client != Client::Regctl => {
            Some(format!("{client} passed behind a spooling hop without Tidegate: the recipe is too mild"))
        }
        _ => None,
    }
}
