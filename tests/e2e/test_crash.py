"""Nothing is lost when everything is killed: crash.py, as a test."""

import crash


def test_kill_nine_in_the_middle_of_1000(case):
    run = crash.Run(case, 1000, 3, 1)
    problems = run.run()
    print("#   " + ", ".join("%s %s" % (key.replace("_", " "), value)
                             for key, value in run.report.items()))
    assert not problems, problems
    assert run.report["kills"] == 3
