"""Loading is work for spare moments: it must not cost the models that answer requests meanwhile."""
import os


def _can_come_back():
    """Whether this process may undo a nice(): only privileged ones may, and asking is the only sure way to know."""
    child = os.fork()
    if child == 0:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, 10)
            os.setpriority(os.PRIO_PROCESS, 0, 0)
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def lower():
    """Lowers this process's priority; what it returns restores it, for every thread that loading has started."""
    try:
        if _can_come_back():
            os.setpriority(os.PRIO_PROCESS, 0, 10)
            return _restorer(lambda thread: os.setpriority(os.PRIO_PROCESS, thread, 0))
        # Batch: never preempts another process when it wakes up, and may be undone by anybody.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return _restorer(lambda thread: os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0)))
    except (OSError, AttributeError):
        return lambda: None


def _restorer(restore):
    def run():
        for thread in os.listdir("/proc/self/task"):
            try:
                restore(int(thread))
            except OSError:
                pass  # it has ended
    return run
