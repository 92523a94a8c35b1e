"""Broken: if the server closes the connection without an answer, the request is repeated unchecked.

certpin prove --style leaf --via port -- python unchecked_after_no_answer.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    with connect(target, trusting(target)) as tls:
        check(tls, target.pins)
        answer = ask(tls, target)
    if answer:
        return answer
    with connect(target, trusting(target)) as tls:  # here
        return ask(tls, target)


if __name__ == "__main__":
    print(main(from_environment()))
