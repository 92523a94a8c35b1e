// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// How many reports an app sends. Pure, so that it is tested without a clock.
library;

/// A report has at most so many bytes.
const int maxReportBytes = 65536;

/// The same failure is reported once in so many milliseconds: an hour.
const int reportPauseMilliseconds = 3600000;

/// One run of the app reports at most so many different failures.
const int maxReports = 32;

/// Whether a failure may be reported now, in milliseconds. Notes it if so.
///
/// [sent] has the failures that were reported, and when. It never grows beyond
/// [maxReports]: an attacker who varies his certificates fills no memory.
bool admits(Map<String, int> sent, String failure, int now) {
  final before = sent[failure];
  if (before == null && sent.length >= maxReports) {
    return false;
  }
  if (before != null && now < before + reportPauseMilliseconds) {
    return false;
  }
  sent[failure] = now;
  return true;
}
