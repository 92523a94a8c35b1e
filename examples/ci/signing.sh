#!/bin/sh
# The signing of pin sets in CI, for GitHub (github-signing.yml) and GitLab (gitlab-signing.yml).
#
#   signing.sh review BRANCH   for each push to a branch sign/…: is it a signing event?
#   signing.sh merge BRANCH    when it was approved: merge it, sign the timestamp, and push the pins
#   signing.sh renew           each day: sign the timestamp, and propose what expires soon
#
# Run it in a clone with the whole history. The environment:
#
#   CERTPIN_ONLINE_KEY   the file or the URI of the online key (merge, renew)
#   CERTPIN_MAIN         the main branch; by default main
#   CERTPIN_PIN_FILE     the pin file; by default pins.toml
#   CERTPIN_REMOTE       the remote; by default origin
#
# Each step can be run again. If another person has pushed in the meantime, git refuses the push and
# nothing is lost: run the job again.
set -eu

main=${CERTPIN_MAIN:-main}
pins=${CERTPIN_PIN_FILE:-pins.toml}
remote=${CERTPIN_REMOTE:-origin}
folder=$(dirname -- "$pins")
journal="${pins%.toml}.journal.jsonl"

use_main() {
    git fetch --quiet "$remote" "+refs/heads/*:refs/remotes/$remote/*"
    # Not the changes of a failed delivery: `publish push` records a lapse before it uploads.
    git switch --quiet --discard-changes --detach "$remote/$main"
}

# Sign with the online key, commit, and deliver. The commit is pushed first: the next run and all
# signers continue from it, whatever happens to the delivery.
deliver() {
    certpin publish sign --file "$pins" "$CERTPIN_ONLINE_KEY"
    git add --all -- "$folder/publish" "$pins" "$journal"
    git diff --cached --quiet || git commit --quiet --message "Sign the timestamp of the pins"
    git push --quiet "$remote" "HEAD:refs/heads/$main"
    certpin publish push --file "$pins" --who "${CERTPIN_WHO:-ci}"
    git add -- "$journal"
    git diff --cached --quiet || git commit --quiet --message "Record that the pins were pushed"
    git push --quiet "$remote" "HEAD:refs/heads/$main"
}

case "${1:-} $#" in
"review 2")
    git fetch --quiet "$remote" "+refs/heads/*:refs/remotes/$remote/*"
    certpin publish review --file "$pins" "$remote/$main" "$remote/$2"
    ;;
"merge 2")
    use_main
    # One commit is reviewed and merged, whatever is pushed to the branch in the meantime.
    commit=$(git rev-parse --verify --end-of-options "$remote/$2^{commit}")
    # After a failed delivery, main has it already: it was reviewed before.
    if ! git merge-base --is-ancestor "$commit" HEAD; then
        certpin publish review --file "$pins" --complete "$remote/$main" "$commit"
        git merge --quiet --no-ff --message "Merge the signing event $2" "$commit"
    fi
    deliver
    git push --quiet "$remote" --delete "refs/heads/$2"
    ;;
"renew 1")
    use_main
    # Propose also if that fails: after root or targets have expired, only a proposal helps. In a
    # subshell of its own and in no condition, because sh would ignore -e in one.
    set +e
    (set -e; deliver)
    failed=$?
    set -e
    use_main
    certpin publish propose --file "$pins" --remote "$remote"
    exit "$failed"
    ;;
*)
    echo "usage: $0 review BRANCH | merge BRANCH | renew" >&2
    exit 2
    ;;
esac
