"""The programs, a file for those that belong together: PROGRAMS in each is what run.py runs. Read next: ../program.py."""
