"""Writes when the primary is lost, in every mode, and those that two devices answer differently."""

from __future__ import annotations

import pytest

from balancer.snapshot import Outcome
from config.model import GroupType, Nondeterministic, PrimaryLoss, Role, Writes, WritesMode
from tests.support.core import group_settings
from tests.support.replicas import Replicas, device_settings

PRIMARY = device_settings("a", role=Role.PRIMARY)
THREE = (PRIMARY, device_settings("b"), device_settings("spare", role=Role.BACKUP))
PROMOTE = Writes(primary_loss=PrimaryLoss.PROMOTE)


def replicas(writes: Writes | None = None, **settings: object) -> Replicas:
    return Replicas(*THREE, writes=writes, **settings).ready()  # type: ignore[return-value]


class TestThePrimaryIsLost:
    @pytest.mark.parametrize("ran", [False, True])
    def test_in_the_middle_the_client_hears_of_the_doubt_and_nothing_is_repeated(self, ran: bool) -> None:
        group = replicas()
        asked = group.write()
        group.cut("a", asked, ran=ran)
        assert asked.outcome is Outcome.UNKNOWN
        assert group.where(asked) == []
        assert group.behind() == {"a"}
        assert group.group.writes.snapshot().in_doubt == ("a",)
        assert "write in doubt" in [event for event, _ in group.told]

    def test_silence_is_a_doubt_too(self) -> None:
        group = replicas()
        asked = group.write()
        group.flush()
        for _ in range(10):
            group.wait(1.0)
        assert asked.outcome is Outcome.TIMEOUT
        assert group.behind() == {"a"}

    def test_refuse_lets_no_write_through_until_it_is_back(self) -> None:
        group = replicas()
        group.cut("a", group.write())
        assert group.write().outcome is Outcome.NO_DEVICE
        assert group.submit().outcome is None, "reads go on"
        group.show_equal("a")
        group.open("a")
        assert group.where(group.write()) == ["a"]

    def test_promote_lets_a_production_device_in_sync_go_first(self) -> None:
        group = replicas(PROMOTE)
        group.cut("a", group.write())
        asked = group.write()
        assert group.where(asked) == ["b"]
        group.run("b", asked)
        group.run("spare", asked)
        assert asked.outcome is Outcome.OK
        assert ("primary promoted", {"device": "b", "instead_of": "a"}) in group.told
        assert group.group.writes.snapshot().promoted == "b"

    def test_the_promoted_one_stays_until_the_primary_is_shown_equal(self) -> None:
        group = replicas(PROMOTE)
        group.cut("a", group.write())
        group.up("a")
        second = group.write()
        assert group.where(second) == ["b"]
        group.run("b", second)
        group.run("spare", second)
        group.show_equal("a")
        group.open("a")
        assert group.where(group.write()) == ["a"]
        assert group.group.writes.succession.promoted is None

    def test_a_primary_that_was_away_while_another_went_first_is_behind(self) -> None:
        group = replicas(PROMOTE)
        group.down("a")
        asked = group.write()
        group.run("b", asked)
        assert "a" in group.behind()

    def test_a_backup_is_never_promoted(self) -> None:
        group = Replicas(PRIMARY, device_settings("spare", role=Role.BACKUP), writes=PROMOTE).ready()
        group.down("a")
        assert group.write().outcome is Outcome.NO_DEVICE

    def test_a_write_that_never_left_goes_to_the_promoted_one(self) -> None:
        group = replicas(PROMOTE)
        asked = group.write()
        group.cut("a", asked, written=False)
        assert group.where(asked) == ["b"]
        group.run("b", asked)
        assert "a" in group.behind()
        group.run("spare", asked)
        assert asked.outcome is Outcome.OK

    def test_a_write_that_a_device_has_seen_and_not_run_is_not_called_unsent(self) -> None:
        """It asked for a login, which could not be repeated any more."""
        group = replicas()
        asked = group.write()
        upstream = group.at("a", asked)
        assert upstream is not None
        upstream.outstanding[0].exchange.seen = True
        group.cut("a", asked, written=False)
        assert asked.outcome is Outcome.UNKNOWN
        assert group.behind() == set()

    def test_a_write_that_never_left_is_refused_otherwise(self) -> None:
        group = replicas()
        asked = group.write()
        group.cut("a", asked, written=False)
        assert asked.outcome is Outcome.NO_DEVICE
        assert group.behind() == set()


class TestModes:
    def test_reject(self) -> None:
        group = replicas(Writes(mode=WritesMode.REJECT))
        asked = group.write()
        assert asked.outcome is Outcome.BLOCKED
        assert group.sent_count(asked.exchange.request) == 0

    def test_balance_goes_to_any_one_device_and_never_twice(self) -> None:
        group = replicas(Writes(mode=WritesMode.BALANCE))
        asked = [group.write(), group.write()]
        assert sorted(group.where(asked[0]) + group.where(asked[1])) == ["a", "b"]
        for each in asked:
            group.cut(group.where(each)[0], each)
            assert each.outcome is Outcome.UNKNOWN
            assert group.where(each) == []
        assert group.behind() == set()

    def test_key_management_servers_are_balanced_by_default(self) -> None:
        kms = group_settings(*THREE, type=GroupType.KMS)
        assert (kms.writes_mode, group_settings(*THREE).writes_mode) == (WritesMode.BALANCE, WritesMode.REPLICATE)

    @pytest.mark.parametrize("lost", [False, True])
    def test_primary_alone_and_nobody_is_behind(self, lost: bool) -> None:
        group = replicas(Writes(mode=WritesMode.PRIMARY))
        asked = group.write()
        if lost:
            group.cut("a", asked)
        else:
            group.run("a", asked)
        assert asked.outcome is (Outcome.UNKNOWN if lost else Outcome.OK)
        assert group.where(asked) == []
        assert group.behind() == set()

    def test_primary_alone_but_another_took_its_place(self) -> None:
        group = replicas(Writes(mode=WritesMode.PRIMARY, primary_loss=PrimaryLoss.PROMOTE))
        group.down("a")
        group.run("b", group.write())
        assert group.behind() == {"a"}


class TestNondeterministic:
    KEY = b"[AOGRSA;AG1;RC00FF;RD00;]"

    @pytest.mark.parametrize("lost", [False, True])
    def test_stale_leaves_all_others_behind(self, lost: bool) -> None:
        group = replicas()
        asked = group.write(request=b"[AOGPGS;AG1;CT6;BD4;]")
        if lost:
            group.cut("a", asked)
            assert group.behind() == {"a"}
            return
        group.run("a", asked, b"[AOGPGS;AG1;BG00FF;BD4;]")
        assert asked.outcome is Outcome.OK
        assert group.where(asked) == []
        assert group.behind() == {"b", "spare"}

    def test_a_key_that_comes_back_and_is_in_no_slot_leaves_nobody_behind(self) -> None:
        group = replicas()
        asked = group.write(request=b"[AOGRSA;AG1;RB2048;]")
        group.run("a", asked, self.KEY)
        assert asked.answer == self.KEY
        assert group.behind() == set()
        assert group.group.writes.done == 0

    @pytest.mark.parametrize(
        ("request_", "answer"),
        [
            (b"[AOGRSA;AG1;BD3;]", KEY),
            (b"[AOGRSA;AG1;]", b"[AOGRSA;AG1;RC00FF;BD3;]"),
            (b"[AOGRSA;AG1;]", b"[AOGRSA;AG1;RD00;]"),
            (b"[AOGRSA;AG1;]", b"[AOGRSA;AG1;RC;]"),
        ],
    )
    def test_whatever_may_be_in_a_slot_does(self, request_: bytes, answer: bytes) -> None:
        group = replicas()
        group.run("a", group.write(request=request_), answer)
        assert group.behind() == {"b", "spare"}

    def test_primary_leaves_nobody_behind(self) -> None:
        group = replicas(Writes(nondeterministic=Nondeterministic.PRIMARY))
        group.run("a", group.write(request=b"[AOGPGS;AG1;BD4;]"), b"[AOGPGS;AG1;BD4;]")
        assert group.behind() == set()

    def test_reject(self) -> None:
        group = replicas(Writes(nondeterministic=Nondeterministic.REJECT))
        assert group.write(code="GRSA").outcome is Outcome.BLOCKED
        assert group.where(group.write()) == ["a"], "of those only"
