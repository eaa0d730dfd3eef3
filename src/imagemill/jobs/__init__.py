"""Jobs: submitted, claimed, painted, waited for, watched and cancelled: the only way in."""
