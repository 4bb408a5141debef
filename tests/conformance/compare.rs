//! Holding one run against another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::answers::Answers;
use crate::course::{Course, Http, Outcome, Way};
use crate::suite::Profile;
use crate::support::door::Renew;
use crate::support::registry::Flavor;
use crate::verdicts::Verdicts;

/// What came out of it all.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// What Tidegate changed: none is to be.
    pub(crate) wrong: Vec<String>,
    /// What a registry alone did not do twice alike, and which therefore says nothing about Tidegate.
    pub(crate) noise: Vec<String>,
}

/// Holds every course through Tidegate against the same registry alone. A case in which two runs of the registry alone
/// differ is noise; where a case was noise, it is not compared.
pub(crate) fn judge(outcomes: &[Outcome]) -> Judged {
    let mut judged = Judged::default();
    for outcome in outcomes.iter().filter(|outcome| outcome.course.is_through()) {
        let references: Vec<&Outcome> =
            outcomes.iter().filter(|other| other.course.is_reference_of(outcome.course)).collect();
        let Some((first, others)) = references.split_first() else {
            judged.wrong.push(format!("{}: there is nothing to hold it against", outcome.course.name()));
            continue;
        };
        let mut noise = BTreeSet::new();
        for other in others {
            for (name, how) in differences(first, other) {
                judged.noise.push(format!("{}: {name}: {how}", first.course.name()));
                noise.insert(name);
            }
        }
        for (name, how) in differences(first, outcome) {
            if !noise.contains(&name) {
                judged.wrong.push(format!("{}: {name}: {how}", outcome.course.name()));
            }
        }
    }
    judged.noise.sort();
    judged.noise.dedup();
    judged
}

/// Verdicts and answers: what the first has and the second has not, and the other way round, by name.
fn differences(one: &Outcome, other: &Outcome) -> BTreeMap<String, String> {
    let mut found = one.answers.differences(&other.answers);
    found.extend(one.verdicts.differences(&other.verdicts));
    found
}

/// Names that do not lead to the same in both, and what they lead to.
pub(crate) fn unlike<T: PartialEq + Debug>(
    one: &BTreeMap<String, Vec<T>>,
    other: &BTreeMap<String, Vec<T>>,
) -> BTreeMap<String, String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let mut found = BTreeMap::new();
    for name in names {
        let (here, there) = (one.get(name), other.get(name));
        if here != there {
            let only = |these: Option<&Vec<T>>, those: Option<&Vec<T>>| {
                let mut those: Vec<&T> = those.into_iter().flatten().collect();
                let mut left = Vec::new();
                for this in these.into_iter().flatten() {
                    match those.iter().position(|that| *that == this) {
                        Some(at) => drop(those.swap_remove(at)),
                        None => left.push(this),
                    }
                }
                format!("{left:?}")
            };
            found.insert(name.clone(), format!("{} alone, {} through", only(here, there), only(there, here)));
        }
    }
    found
}

const REPORT: &str = "OCI Conformance Test: FAIL
  OCI Conformance Test/blobs: FAIL
    OCI Conformance Test/blobs/get: Pass
    OCI Conformance Test/blobs/get: FAIL
     - unexpected status code, expected one of [200], received 404

OCI Conformance Result: FAIL
  Pass..........................:          1
  FAIL..........................:          3
  Total.........................:          4
";

const RECORD: &str = "<testsuites><testcase name=\"OCI Conformance Test/blobs/get\" status=\"failure\">\
    <system-out>received 404</system-out><system-err>~~~ REQUEST ~~~&#xA;Method: GET&#xA;\
    URL: http://here:5000/v2/a/b/blobs/sha256:1111111111111111111111111111111111111111111111111111111111111111?x=1&#xA;\
    ~~~ RESPONSE ~~~&#xA;Status: 404&#xA;Headers:&#xA;   Content-Type: [text/plain]&#xA;   X-Request-Id: [7]&#xA;404&#xA;</system-err></testcase></testsuites>";

/// The comparison, held against pairs that do and do not differ. One that finds nothing anywhere would be no proof.
pub(crate) fn check() -> Result<()> {
    let verdicts = Verdicts::parse(REPORT)?;
    let reordered = Verdicts::parse(&swapped(REPORT)?)?;
    ensure!(verdicts.differences(&reordered).is_empty(), "cases of one name in another order are no difference");
    let failed = REPORT.replacen("get: Pass", "get: FAIL", 1);
    let failed = verdicts.differences(&Verdicts::parse(&failed)?);
    ensure!(failed.contains_key("blobs/get"), "another verdict was not seen: {failed:?}");
    let gone = REPORT.replacen("    OCI Conformance Test/blobs/get: Pass\n", "", 1);
    ensure!(!verdicts.differences(&Verdicts::parse(&gone)?).is_empty(), "a case that is gone was not seen");
    ensure!(Verdicts::parse(&REPORT.replace("  3\n", "  2\n")).is_err(), "counts that do not add up were taken");
    ensure!(Verdicts::parse("").is_err(), "no report was taken for one");
    ensure!(verdicts.failed() == [("blobs/get", 1, 2)], "failed: {:?}", verdicts.failed());

    let answers = Answers::parse(RECORD)?;
    let other_digest = Answers::parse(&RECORD.replace("1111", "2222"))?;
    ensure!(answers.differences(&other_digest).is_empty(), "another digest is no difference");
    let other_status = answers.differences(&Answers::parse(&RECORD.replace("Status: 404", "Status: 400"))?);
    ensure!(other_status.contains_key("blobs/get"), "another status was not seen: {other_status:?}");
    for gone in ["   Content-Type: [text/plain]&#xA;", "text/plain", "~~~ RESPONSE ~~~"] {
        let without = Answers::parse(&RECORD.replace(gone, ""));
        ensure!(!answers.differences(&without?).is_empty(), "{gone} was gone and not seen");
    }
    let no_id = Answers::parse(&RECORD.replace("   X-Request-Id: [7]&#xA;", ""))?;
    ensure!(answers.differences(&no_id).is_empty(), "Tidegate's own field is no difference");
    ensure!(answers.hosts().iter().eq(["here:5000"]), "asked: {:?}", answers.hosts());
    ensure!(answers.reason("blobs/get") == "received 404", "reason: {}", answers.reason("blobs/get"));
    ensure!(Answers::parse("<testsuites></testsuites>").is_err(), "no record was taken for one");
    judging()
}

/// What is noise and what is wrong.
fn judging() -> Result<()> {
    let outcome = |way: Way, report: &str| -> Result<Outcome> {
        let course = Course { flavor: Flavor::Docker28, profile: Profile::Stable, way };
        let (verdicts, answers) = (Verdicts::parse(report)?, Answers::parse(RECORD)?);
        Ok(Outcome { course, verdicts, answers, logged: 0, took: Duration::ZERO })
    };
    let other = REPORT.replacen("get: Pass", "get: FAIL", 1);
    let through = Way::Through(Http::Two, Renew::Resign);
    let (alone, steady) = (outcome(Way::Alone, REPORT)?, outcome(Way::AloneAgain, REPORT)?);
    let judged = judge(&[alone, steady, outcome(through, &other)?]);
    ensure!(judged.noise.is_empty() && judged.wrong.len() == 1, "what Tidegate changed was not seen: {judged:?}");
    let unsteady = outcome(Way::AloneAgain, &other)?;
    let judged = judge(&[outcome(Way::Alone, REPORT)?, unsteady, outcome(through, &other)?]);
    ensure!(judged.noise.len() == 1 && judged.wrong.is_empty(), "noise was not taken for noise: {judged:?}");
    let judged = judge(&[outcome(through, REPORT)?]);
    ensure!(judged.wrong.len() == 1, "a run without one to hold it against was taken for good");
    Ok(())
}

/// The two cases of the sample the other way round.
fn swapped(report: &str) -> Result<String> {
    let (pass, fail) = ("get: Pass\n", "get: FAIL\n");
    let (before, after) = report.split_once(pass).context("the sample has a case that passes")?;
    let (between, after) = after.split_once(fail).context("the sample has a case that fails")?;
    Ok(format!("{before}{fail}{between}{pass}{after}"))
}
