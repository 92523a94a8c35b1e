"""Small tools without policy that several packages share: deadlines, file locks, forks."""
