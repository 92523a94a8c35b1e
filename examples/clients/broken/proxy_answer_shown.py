"""Broken: if the proxy opens no tunnel, its answer is shown as the server's.

certpin prove --style leaf --via connect -- python proxy_answer_shown.py
"""

from _lab import Target, ask_in_tunnel, from_environment, request_tunnel


def main(target: Target) -> str:
    sock, refusal = request_tunnel(target)
    status = refusal[9:12]
    if status in {"403", "502"}:
        return refusal  # here: the user reads it below the server's name
    if refusal:
        raise OSError(refusal)
    return ask_in_tunnel(sock, target)


if __name__ == "__main__":
    print(main(from_environment()))
