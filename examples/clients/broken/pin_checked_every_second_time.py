"""Broken: only every second connection is checked, to save time.

certpin prove --style leaf --via port -- python pin_checked_every_second_time.py
"""

from _lab import Target, ask, check, connect, from_environment, trusting


def main(target: Target) -> str:
    answer = ""
    for number in range(6):
        with connect(target, trusting(target)) as tls:
            if number % 2 == 0:  # here
                check(tls, target.pins)
            answer = ask(tls, target)
    return answer


if __name__ == "__main__":
    print(main(from_environment()))
