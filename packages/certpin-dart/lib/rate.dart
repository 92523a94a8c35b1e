// Written by: certpin export flutter. Do not edit: the next export replaces it.

/// Limits the number of reports. Pure, so that tests need no clock.
library;

/// The maximum size of a report, in bytes.
const int maxReportBytes = 65536;

/// The minimum interval between two reports of the same failure: one hour, in
/// milliseconds.
const int reportPauseMilliseconds = 3600000;

/// The maximum number of different failures that a run of the app reports.
const int maxReports = 32;

/// Returns whether a failure may be reported at a time in milliseconds, and
/// records it if so.
///
/// [sent] contains the reported failures and their times. It never exceeds
/// [maxReports], so an attacker with many certificates cannot fill the memory.
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
