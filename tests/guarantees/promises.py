"""What is promised, what keeps it, and what would see it broken: written by hand, in plain words."""

from typing import Final

from msgspec import Struct


class Promise(Struct, frozen=True, kw_only=True):
    """One promise.

    `chaos` and `simulation` name checks of those harnesses, `tests` are `path::name` in `tests/`, `bench` are
    the parts of the bench that measure it, and `key` is its anchor on the page.
    """

    key: str
    says: str
    more: str
    how: str
    decided: tuple[int, ...]
    chaos: tuple[str, ...] = ()
    simulation: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    bench: tuple[str, ...] = ()


PROMISES: Final = (
    Promise(
        key="kept",
        says="No acknowledged answer is lost",
        more="Acknowledged means an OK reply, or a PubAck of the bus. It then outlives `kill -9` of any "
        "process.",
        how="The reply goes out, and the message is acknowledged to the bus, only after the commit. Both "
        "sync each write (`synchronous=FULL`, `sync_interval: always`) unless `durability = relaxed` is "
        "written down.",
        decided=(2, 9),
        chaos=("nothing_lost", "file_is_sound"),
        simulation=("answered_is_recorded", "stored_is_handled"),
        tests=(
            "system/test_kill.py::test_all_that_was_promised_outlives_the_process",
            "system/test_kill.py::test_all_that_was_promised_outlives_the_server",
        ),
    ),
    Promise(
        key="repeated",
        says="A retried command gets the same answer",
        more="No reply means unknown: send it again under the same `command_id` within 24 hours, by "
        "whichever door. It has its effect once.",
        how="Table `commands`, primary key (actor, command id), holds the answer; it is written in the "
        "transaction of the effect.",
        decided=(6,),
        chaos=("same_answer", "effects_once"),
        simulation=("answers_are_equal", "done_once"),
        tests=(
            "scenarios/test_fencing.py::test_one_answer_by_both_doors_is_effective_once",
            "store/test_commands.py::test_the_same_command_twice_in_one_batch_is_done_once",
        ),
    ),
    Promise(
        key="owner",
        says="A task has at most one open assignment, at every commit",
        more="Also with many assigners and escalators at once.",
        how="The unique index `assignments_open` on the task, where `ended_at` is null. The store refuses a "
        "second one, whatever the code believes.",
        decided=(4,),
        chaos=("one_owner",),
        simulation=("one_owner", "statuses_are_legal"),
        tests=("store/test_claims.py::test_two_processes_never_claim_one_row_twice",),
        bench=("crowd",),
    ),
    Promise(
        key="fence",
        says="A superseded holder changes nothing",
        more="A late answer gets 409 `superseded`, the present holder's name, and the order to stop.",
        how="The assignment's id is the fence: each reassignment is a new row, and every write names the "
        "`version` that it saw.",
        decided=(7, 4),
        chaos=("folds",),
        simulation=("ended_is_ended", "versions_grow", "rows_follow_audit"),
        tests=(
            "scenarios/test_fencing.py::test_a_zombie_is_told_to_stop_on_the_stream_too",
            "store/test_units.py::test_the_statement_itself_finds_a_version_that_has_passed",
        ),
    ),
    Promise(
        key="overdue",
        says="What is overdue is escalated within two ticks and a second",
        more="A tick is a second. It holds while an escalator and a pinger live, the store keeps up, and no "
        "more is due than `limits.steps_per_second` lets through. Under more load it is later: the figures "
        "say how much.",
        how="The index `assignments_deadline_at`; each escalator looks every tick, and a doorbell only "
        "shortens its sleep.",
        decided=(4, 8),
        simulation=("nothing_is_late",),
        tests=(
            "scenarios/test_silence.py::test_an_agent_that_never_answers_is_escalated_once",
            "services/test_running.py::test_the_doorbell_only_shortens_the_sleep",
        ),
        bench=("escalation",),
    ),
    Promise(
        key="step",
        says="One step and one successor for each missed clock",
        more="Also with many escalators, and after any downtime.",
        how="A step is claimed, decided and written in one transaction. `escalation_steps` has the primary "
        "key (assignment, step), and the version that was read must still stand.",
        decided=(4, 12),
        chaos=("one_successor",),
        simulation=("one_successor",),
        tests=(
            "system/test_many.py::test_each_attempt_is_heard_once_and_each_missed_promise_has_one_successor",
        ),
        bench=("crowd",),
    ),
    Promise(
        key="end",
        says="No obligation ends in silence",
        more="Every unfinished task has a clock, or waits for one that has. A policy that is used up ends in"
        " `exhausted`: loud, counted, and still pinged.",
        how="States and clocks are one table over all events (`domain/matrix.py`), and every policy ends "
        "with a flag.",
        decided=(3,),
        chaos=("all_came_to_rest",),
        simulation=("nothing_is_forgotten",),
        tests=(
            "domain/test_properties.py::test_every_policy_ends_with_a_flag",
            "scenarios/test_policies.py::test_an_empty_policy_ends_flagged_and_not_in_silence",
        ),
    ),
    Promise(
        key="ping",
        says="A ping is recorded once per attempt, and a connected plain subscriber hears it once",
        more="Whoever was away finds the newest one in the mailbox, or asks `sync`.",
        how="`pings` has the primary key (assignment, attempt); the outbox row is of the same commit; the "
        "message id `ping:<incarnation>:<assignment>:<attempt>` lets the bus drop repeats for an hour.",
        decided=(5, 13, 16),
        chaos=("pings_once", "one_content"),
        simulation=("attempts_are_heard_once", "mailbox_is_true"),
        tests=(
            "scenarios/test_overtaking.py::test_a_ping_that_was_answered_on_its_way_is_not_the_last_word",
            "scenarios/test_late_and_killed.py::test_the_relays_see_what_its_sender_did_not_live_to_see",
            "services/test_running.py::test_what_was_published_and_not_confirmed_is_heard_once",
        ),
        bench=("crowd",),
    ),
    Promise(
        key="storm",
        says="Downtime is not repaid with a storm",
        more="After an outage of any length each assignment gets at most one ping and one step, at a capped "
        "rate, the most overdue first.",
        how="The next instant counts from now, skipped ones are not sent; `limits.pings_per_second` and "
        "`limits.steps_per_second` cap what one process sends.",
        decided=(8,),
        simulation=("pings_keep_their_pace",),
        tests=(
            (
                "scenarios/test_outages.py::"
                "test_after_hours_without_anybody_each_gets_one_ping_and_one_step_at_a_capped_rate"
            ),
        ),
        bench=("catchup",),
    ),
    Promise(
        key="robbed",
        says="An answer that was on the bus before its deadline counts",
        more="However late it is handled, and though nobody ran meanwhile.",
        how="Answers count at the bus's time. A clock is judged only when every answer stored before it has "
        "been handled.",
        decided=(15,),
        chaos=("nobody_robbed",),
        simulation=("nobody_is_robbed", "outages_count_against_nobody"),
        tests=(
            "scenarios/test_outages.py::test_an_answer_stored_in_time_counts_though_nobody_ran",
            "store/test_claims.py::test_deadlines_wait_for_answers_that_are_on_their_way",
        ),
    ),
    Promise(
        key="words",
        says="What an operator forbids is not offered, and who waits is left in peace",
        more="Whoever is paused, drained, quarantined, retired or revoked gets nothing new by any way, and"
        " nobody does while frozen. No ping goes to an agent that is paused or waits for a human, and no wait"
        " costs the lease.",
        how="Every lease is opened at one place (`domain/admission.py`), and the pinger's claim passes over"
        " such agents.",
        decided=(22,),
        simulation=("nothing_goes_round_a_word", "in_peace_nobody_is_pinged", "waits_cost_nothing"),
        tests=(
            "domain/test_admission.py::test_whoever_is_flagged_gets_nothing_new_by_any_path",
            "domain/test_admission.py::test_while_frozen_nobody_gets_anything_new_by_any_path",
            "domain/test_admission.py::test_these_are_all_the_paths",
            "scenarios/test_waiting.py::test_no_ping_is_sent_to_whoever_waits_for_a_human",
            "scenarios/test_flags.py::test_after_a_thaw_steps_come_at_their_pace",
        ),
    ),
    Promise(
        key="held",
        says="Time in which nobody could answer counts against nobody",
        more="An outage of the bus for longer than a TTL (90 s), or a suspended machine.",
        how="Processes stamp each second that they live and that the bus does (`processes`); a gap becomes a"
        " row of `holds`, and every running clock moves by it.",
        decided=(15,),
        tests=(
            "scenarios/test_outages.py::test_an_outage_longer_than_a_ttl_counts_against_nobody",
            "runtime/test_holds.py::test_a_suspended_machine_counts_against_nobody",
            "domain/test_clocks.py::test_a_hold_counts_against_nobody",
        ),
    ),
    Promise(
        key="clock",
        says="A step of the machine's clock takes nothing from anybody",
        more="No escalation and no suspicion. A deadline is later by the step at most; one reminder may come"
        " early.",
        how="Each process holds its wall clock against its monotonic one: more than 5 s forward is a hold. "
        "Lengths inside a process are monotonic.",
        decided=(8, 15),
        tests=(
            "runtime/test_holds.py::test_a_clock_that_steps_takes_nothing_from_anybody",
            "runtime/test_holds.py::test_after_a_clock_stepped_back_silence_is_still_noticed_in_time",
        ),
    ),
    Promise(
        key="observer",
        says="A sick observer accuses no one",
        more="A monitor that was cut off, paused or ill, dropped messages or has just begun, suspects nobody"
        " before it has listened for a whole TTL. Suspicion never takes work away.",
        how="Beats are stamped on receipt, and a monitor judges by its own pulse first.",
        decided=(15,),
        simulation=("nobody_alive_is_suspected",),
        tests=(
            "scenarios/test_monitors.py::test_a_monitor_alone_cut_off_suspects_nobody",
            "scenarios/test_monitors.py::test_a_monitor_that_was_paused_reads_before_it_judges",
            "scenarios/test_outages.py::test_an_outage_makes_nobody_suspect",
        ),
    ),
    Promise(
        key="poison",
        says="Poison stops nobody",
        more="What cannot be read, what fails five times alone, and a row whose decision throws are put "
        "aside with the reason, can be replayed, and the rest goes on.",
        how="A savepoint for each delivery once a batch fails; the dead letters; the column `quarantined`. "
        "An ill store is blamed on no message.",
        decided=(3, 12),
        chaos=("poison_is_kept",),
        simulation=("no_poison",),
        tests=(
            "services/test_poison.py::test_a_handler_that_fails_five_times_alone_is_poison_and_its_neighbours_are_not",
            "services/test_poison.py::test_a_deadline_that_cannot_be_decided_stops_no_other",
        ),
    ),
    Promise(
        key="events",
        says="No event without a commit, and none is missing",
        more="At least once, repeats under the same id.",
        how="`audit` and `outbox` are written in the transaction of the change; what a crash left is swept "
        "by the relay; an event's id is its audit row's number.",
        decided=(2,),
        chaos=("no_event_without_commit", "no_commit_without_event"),
        simulation=("events_are_the_audit", "outbox_is_empty"),
        tests=("services/test_running.py::test_the_relay_finds_what_nobody_published",),
    ),
    Promise(
        key="refill",
        says="A lost stream of events is filled again",
        more="From the audit, under the same ids. A lost mailbox fills with each assignment's next attempt; "
        "until then `sync` says what is owed.",
        how="Whoever finds a stream missing makes it, and notes that the relay is to fill it from `audit`. "
        "Unhandled answers are the one thing that only the bus holds.",
        decided=(2,),
        simulation=("events_are_the_audit",),
        tests=(
            "services/test_refill.py::test_a_lost_stream_of_events_is_filled_from_the_audit",
            "services/test_topology.py::test_a_server_that_lost_everything_is_furnished_again",
        ),
    ),
    Promise(
        key="alive",
        says="A working agent is never robbed, a dead one is found",
        more="While its beats come, or its machine's daemon says that it runs, silence takes nothing from "
        "it. Who is silent is suspect, then dead, and then its work is somebody else's, or flagged.",
        how="Silence takes one step at a time; the daemon is a second witness; when many fall silent at once "
        "a brake holds all deaths until it is known who is deaf.",
        decided=(24, 15),
        tests=(
            "domain/test_lives_of_agents.py::test_nobody_who_is_there_is_robbed_and_the_dead_are_found",
            "scenarios/test_dying.py::test_silence_is_suspicion_then_death_then_somebody_else_has_the_work",
            "scenarios/test_dying.py::test_beats_are_lost_but_the_daemon_says_that_it_runs",
            "domain/test_brakes.py::test_the_canary_frees_deaths_one_after_the_other_and_all_are_found",
            "scenarios/test_monitors.py::test_a_monitor_alone_cut_off_suspects_nobody",
        ),
        bench=("presence",),
    ),
    Promise(
        key="shed",
        says="Overload sheds the right things",
        more="Queries first, then new tasks, with 429 and `retry_after_s`, and nothing of them was done. "
        "Answers on the stream are never shed; of beats the newest of each agent's session counts.",
        how="Each operation has a priority, and each priority its bound, per service and process.",
        decided=(17,),
        tests=(
            "services/test_overload.py::test_new_tasks_are_refused_at_once_and_answers_are_not",
            "services/test_overload.py::test_answers_on_the_stream_stay_there_until_they_can_be_handled",
            "services/test_overload.py::test_beats_are_coalesced_and_none_is_shed",
        ),
    ),
    Promise(
        key="stop",
        says="SIGTERM loses nothing",
        more="What was taken in is finished within 10 s, the rest is given back; a second signal ends at "
        "once.",
        how="The doors close first, then the queues run dry, then the outbox is published; answers that were"
        " not handled stay on the bus.",
        decided=(2,),
        tests=(
            "services/test_stopping.py::test_a_stop_with_a_hundred_in_flight_answers_and_publishes_all",
            "services/test_stopping.py::test_a_stop_gives_answers_back_to_the_bus",
        ),
    ),
)

NOT_PROMISED: Final = """\
- **Order between processes.** Events of one task carry its version; events from different processes may
  come in any order. An agent's answers keep the bus's order, except those that had to be tried again.
- **Exactly once on the wire.** Events and stream answers come at least once. After a batch of unknown
  outcome what is still true is sent again; the bus drops repeats of one message id for an hour, and a
  reader can do the same by the id.
- **Once, without a `command_id`, when it is sent again.** What the bus delivers again is answered from the
  record for 24 hours, with an id of its own or without. What its sender says again without one is another
  answer: a `wait` that is sent again after its `resume` begins another wait.
- **That nothing late is heard.** While several processes send, a ping may pass its own answer. The newest
  word follows within a tick. If the sender is killed in those milliseconds, the late ping stays in the
  mailbox for up to two ping intervals; `sync` tells the truth at all times.
- **The two ticks at any load.** A step waits until all earlier answers are handled and until its turn under
  the cap. Goals that were not reached are listed as such under *Many processes, and load*.
- **Survival of a power cut, as tested.** Every write is synced by default, and that is what power cuts
  need; but here processes are killed, not machines. A disk that lies about its cache loses what it lied
  about. With `relaxed` the last moments are lost in a power cut.
- **The bus's own storage.** The harnesses run one nats-server, no cluster. If its storage is lost, so are
  the answers that were stored there and not yet handled; all else comes from the store.
- **More than the last backup.** If the store's file is lost, so is all since then. The restored store
  begins a new incarnation, and refuses answers to pings of the old one.
- **PostgreSQL.** It is prepared in the schema and decided (ADR 4); there is no engine for it yet, and
  nothing here was measured on it. The store is one SQLite file on one machine.
- **Speed or fairness among many writers.** Any number of processes on one file is safe; SQLite gives the
  lock to whoever asks at the right moment.
- **Suspicion for sure.** Presence is a hint for whom to give work. Silence is judged by promises, and a
  hold may make a judgement late by the length of a gap, never unjust. A clock that is set while no process
  runs is not noticed.
- **Protection without permissions.** Names are trusted on the embedded server, which listens on 127.0.0.1
  only. On a bus of your own the permissions of its connections must say who is who (ADR 7)."""
