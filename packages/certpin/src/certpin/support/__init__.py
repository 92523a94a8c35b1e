"""Small tools without policy that packages share: deadlines, locks, forks, pools, text."""
