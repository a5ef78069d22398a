"""The frozen part of a graph is computed once: what of it, when, and whether that pays."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.training import activation_store, activations, callback_state, graph_part
from kft.training.split_graph import Subgraph, frontier, frozen_tensors, needed_nodes, nodes_in_order

CACHES = ("off", "auto", "exact", "fast")


@dataclasses.dataclass(frozen=True)
class PhasePlan:
    """What is frozen in a phase.

    Args:
      epochs: of the phase.
      inference: operations that run in inference mode, by id.
      frozen: tensors that depend on the inputs and frozen operations alone, by id.
      crossing: those of them that the rest needs.
      num_operations: calls of operations that need not be repeated.
    """

    epochs: int
    inference: frozenset[int]
    frozen: dict[int, keras.KerasTensor]
    crossing: tuple[keras.KerasTensor, ...]
    num_operations: int


class FrozenPrefix:
    """Gives each phase its data: stored activations where a frozen part need not be computed again.

    In each phase the longest part of the graph that is frozen and draws nothing is run once over the examples. The
    rest trains on what crosses the cut, by the same operations and variables. What is stored stays for later phases
    while the weights that it depends on are the same; on the way up, what later and lower cuts need is stored too.

    Args:
      model: FineTuneModel.
      phases: (first epoch, end, phase), as of `kft.trainable.epochs_of_phases`.
      mode: "exact": float32, the shape of the batches and the XLA setting are those of the run without; "fast":
        float32 is stored as bfloat16; "auto": as exact, but not where examples are augmented at random, and decided
        without a clock, so that a run that is repeated or resumed decides the same.
      views: augmented views of each example; 0 refuses augmentation.
      storage: where activations go.
      report: gets a line for each decision.
    """

    def __init__(
        self,
        model: Any,
        phases: Sequence[tuple[int, int, Any]],
        *,
        mode: str,
        views: int,
        storage: activation_store.Storage,
        report: Callable[[str], None],
    ):
        if mode not in CACHES:
            raise errors.unknown_name("cache", mode, CACHES)
        self.model, self.phases = model, phases
        self.mode, self.views, self.storage, self.report = "exact" if mode == "auto" else mode, views, storage, report
        self._by_clock = mode != "auto"
        self.decisions: list[dict[str, Any]] = []
        self._random: frozenset[int] = frozenset()
        self._decided: dict[str, bool] = {}
        self._parts: dict[tuple[int, ...], graph_part.GraphPart] = {}
        self._of_data: dict[int, activations.Activations] = {}
        self._keys: dict[int, str] = {}
        self._plan()

    def _plan(self) -> None:
        """Finds the frozen part of every phase."""
        self.plans = []
        for first, end, phase in self.phases:
            self.model.set_trainable(phase.trainable)
            inference = self.model.inference_operations()
            frozen = frozen_tensors(self.model, inference - self._random)
            crossing = frontier(self.model, frozen)
            num_operations = len(needed_nodes(self.model, self.model.inputs, crossing))
            self.plans.append(PhasePlan(end - first, inference, frozen, crossing, num_operations))

    def begin(self, number: int, data: Any, validation_data: Any) -> tuple[Any, Any]:
        """The data of a phase, to be called when `set_trainable` was.

        Args:
          number: of the phase, from 0.
          data, validation_data: as of `fine_tune`.

        Returns: both, with stored activations in the place of the model's inputs where that pays.
        """
        self._keys = {}
        results, digests = [], {}
        for role, given in (("train", data), ("eval", validation_data)):
            cached = None
            if getattr(given, "examples", None) is not None:
                cached = self._batches(number, role, given, digests)
            results.append(given if cached is None else cached)
        return tuple(results)

    def get_state(self) -> dict[str, np.ndarray]:
        """What was decided by the clock, for `Checkpoint`: what is stored may differ in the last bit."""
        decided = self._decided | {f"{d['phase'] - 1} {d['data']}": d["stored"] for d in self.decisions}
        return {"decided": callback_state.text_array(json.dumps(decided))}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Decides as before."""
        self._decided = json.loads(callback_state.array_text(state["decided"]))

    def end(self, number: int) -> None:
        """Checks that what was frozen in a phase still is what it was, and gives back what no later phase needs."""
        plan, before = self.plans[number], self._keys
        if before and before != self._hash(plan.crossing, {}):
            raise errors.InputError(
                "Got frozen weights that changed while their stored activations were trained on. Expected them to stay "
                "as they are within a phase. Use cache='off' where a callback changes frozen weights."
            )
        for stored in self._of_data.values():
            stored.keep_only([key for key in stored.tensors if self._needed_later(number, key, stored)])

    def _batches(self, number: int, role: str, data: Any, digests: dict[int, bytes]) -> Any | None:
        """The data of a phase, stored; None if it is not."""
        if not self.plans[number].num_operations:
            return self._say(number, role, "nothing is frozen below what trains")
        if getattr(self.model.distribute_strategy.extended, "_in_multi_worker_mode", lambda: False)():
            return self._say(number, role, "each of several workers would see a part of the examples only")
        if not (self._by_clock or self.views) and graph_part.depends_on_epoch(data):
            return self._say(number, role, "examples are augmented at random")
        stored = self._activations(data)
        while True:
            plan = self.plans[number]
            keys = self._hash([*plan.frozen.values()], digests)
            stored.keep_only([key for key, tensor in stored.tensors.items() if tensor.key == keys.get(key)])
            try:
                self._store(number, role, stored, keys)
                break
            except graph_part.DrawsError as error:
                if not error.operations:
                    return self._say(number, role, str(error))
                self._random |= error.operations
                self._plan()
                self.model.set_trainable(self.phases[number][2].trainable)
            except graph_part.NotStoredError as error:
                stored.keep_only(())
                return self._say(number, role, str(error))
        name = f"phase_{number + 1}"
        suffix = Subgraph(self.model, plan.crossing, self.model.outputs, plan.inference)
        self.model.set_entry(name, _outputs_of(self.model, suffix))
        self._keys = {id(tensor): keys[id(tensor)] for tensor in plan.crossing}
        return stored.batches(plan.crossing, name)

    def _activations(self, data: Any) -> activations.Activations:
        if id(data) not in self._of_data:
            views = activations.check_views(data, self.views)
            self._of_data[id(data)] = activations.Activations(
                self.model, data, mode=self.mode, views=views, storage=self.storage
            )
        return self._of_data[id(data)]

    def _store(self, number: int, role: str, stored: activations.Activations, keys: dict[int, str]) -> None:
        """Computes what a phase needs and has not."""
        plan = self.plans[number]
        missing = [tensor for tensor in plan.crossing if id(tensor) not in stored.tensors]
        extras = self._for_later(number, stored, missing) if missing else []
        if missing:
            targets = missing + [tensor for tensors in extras for tensor in tensors[1]]
            sources = self._sources(stored, targets)
            part = self._part(sources, targets)
            served = [self.plans[n] for n in (number, *(later for later, _ in extras))]
            if part.from_inputs and not self._is_read_often(served, stored):
                raise graph_part.NotStoredError("it would not be read more often than it is computed")
            pays = self._pays(served, stored)
            if (before := self._decided.get(f"{number} {role}")) is not None:  # in a run that goes on
                pays = lambda *_: before  # noqa: E731
            seconds = stored.compute(part, sources, targets, keys=keys, pays=pays)
            if any(stored.tensors[id(tensor)].ragged for tensor in plan.crossing):
                outputs = self.model.outputs
                whole, rest = (
                    graph_part.GraphPart(self.model, begin, outputs) for begin in (self.model.inputs, plan.crossing)
                )
                stored.check_padding(whole, rest, plan.crossing)
        if not missing or not part.from_inputs:
            # The values come from what an earlier phase stored: prove that the data still gives them.
            began = time.perf_counter()
            whole = graph_part.GraphPart(self.model, self.model.inputs, plan.crossing)
            stored.check(whole, plan.crossing)
            checking = time.perf_counter() - began
            how = f"reused, checked in {checking:.1f} s" if not missing else f"from an earlier cut in {seconds:.1f} s"
        else:
            how = f"computed once in {seconds:.1f} s"
        size = sum(stored.tensors[id(tensor)].size for tensor in plan.crossing)
        places = {rows.place for tensor in plan.crossing for rows in stored.tensors[id(tensor)].rows.values()}
        views = f", {stored.views} views" if stored.views > 1 else ""
        self._say(
            number,
            role,
            f"{plan.num_operations} operations {how}; {len(plan.crossing)} tensor(s), {size / 2**20:,.1f} MiB in "
            f"{' and '.join(sorted(places))}{views}",
            size=size,
        )

    def _part(self, sources: Sequence[Any], targets: Sequence[Any]) -> graph_part.GraphPart:
        """The same part for training and validation data, so that it is traced once."""
        key = (*map(id, sources), 0, *map(id, targets))
        if key not in self._parts:
            self._parts = {key: graph_part.GraphPart(self.model, sources, targets)}
        return self._parts[key]

    def _is_read_often(self, served: Sequence[PhasePlan], stored: activations.Activations) -> bool:
        """Whether it can pay at all, before anything is traced; "auto" goes by the whole run, resumed or not."""
        plans = served if self._by_clock else [plan for plan in self.plans if plan.num_operations]
        return sum(plan.epochs for plan in plans) > stored.views

    def _pays(self, served: Sequence[PhasePlan], stored: activations.Activations):
        """Whether storing costs less than computing, over all the phases that a pass serves, the deepest cut first.

        A phase without stored tensors would compute about its share of the pass in each epoch; one with them reads what
        crosses its own cut.
        """

        def pays(computing: float, writing: float, reading: Callable[[Sequence[Any]], float]) -> bool:
            if not self._by_clock:
                return True
            each_time = stored.seconds_per_batch or computing
            operations = sum(plan.epochs * plan.num_operations for plan in served) / served[0].num_operations
            reads = sum(plan.epochs * reading(plan.crossing) for plan in served)
            without, store = operations * each_time, stored.views * (computing + writing) + reads
            steps = stored.data.steps_per_epoch
            self.report(
                f"frozen part: about {without * steps:.1f} s computed in every epoch, "
                f"{store * steps:.1f} s computed once, stored and read"
            )
            return store < without

        return pays

    def _for_later(self, number: int, stored: activations.Activations, missing: Sequence[Any]) -> list:
        """Cuts of later phases that lie below this one, and stay frozen until then: (phase, tensors to store)."""
        found, have = [], {id(tensor) for tensor in missing} | stored.tensors.keys()
        size = stored.size(missing)
        for later in range(number + 1, len(self.plans)):
            plan = self.plans[later]
            if not plan.num_operations or not all(self._stays(id(t), number, later) for t in plan.crossing):
                break
            tensors = [tensor for tensor in plan.crossing if id(tensor) not in have]
            size += stored.size(tensors)
            if self.storage.place_for(size) != "memory":
                break
            found.append((later, tensors))
            have |= {id(tensor) for tensor in tensors}
        return found

    def _stays(self, key: int, number: int, later: int) -> bool:
        return all(key in self.plans[n].frozen for n in range(number, later + 1))

    def _needed_later(self, number: int, key: int, stored: activations.Activations) -> bool:
        for later in range(number + 1, len(self.plans)):
            if not self._stays(key, number, later):
                return False
            crossing = self.plans[later].crossing
            if any(id(tensor) == key for tensor in (*crossing, *self._sources(stored, crossing))):
                return True
        return False

    def _sources(self, stored: activations.Activations, targets: Sequence[Any]) -> list[keras.KerasTensor]:
        """The stored tensors from which the targets can be computed; the model's inputs where they are not enough."""
        plan_tensors = {key: tensor for plan in self.plans for key, tensor in plan.frozen.items()}
        known = [plan_tensors[key] for key in stored.tensors]
        nodes = needed_nodes(self.model, known, targets)
        made = {id(tensor) for node in nodes for tensor in node.outputs}
        used = {id(t): t for t in (*(t for node in nodes for t in node.input_tensors), *targets) if id(t) not in made}
        return list(used.values()) if used.keys() <= stored.tensors.keys() else list(self.model.inputs)

    def _hash(self, tensors: Sequence[keras.KerasTensor], digests: dict[int, bytes]) -> dict[int, str]:
        """What each tensor's values depend on, hashed: the graph and weights below it, and how it is stored."""
        made_by = {id(tensor): node for node in nodes_in_order(self.model) for tensor in node.outputs}
        keys: dict[int, str] = {}

        def key(tensor: keras.KerasTensor) -> str:
            if id(tensor) not in keys:
                node = made_by[id(tensor)]
                digest = hashlib.blake2b(digest_size=16)
                digest.update(f"{self.mode} {tensor.name} {tensor.dtype} {node.operation.name}".encode())
                for variable in getattr(node.operation, "weights", ()):
                    if id(variable) not in digests:
                        value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
                        digests[id(variable)] = hashlib.blake2b(value.view(np.uint8), digest_size=16).digest()
                    digest.update(digests[id(variable)])
                for below in node.input_tensors:
                    digest.update(key(below).encode())
                keys[id(tensor)] = digest.hexdigest()
            return keys[id(tensor)]

        return {id(tensor): key(tensor) for tensor in tensors}

    def _say(self, number: int, role: str, text: str, *, size: int = 0) -> None:
        self.decisions.append({"phase": number + 1, "data": role, "stored": size > 0, "bytes": size, "text": text})
        if size or self._by_clock:  # "auto" was not asked for, so it says what it does, not what it does not
            self.report(f"frozen part, phase {number + 1}, {role}: {'' if size else 'not stored, as '}{text}")


def _outputs_of(model: Any, suffix: Subgraph) -> Callable[..., Any]:
    """The suffix, with outputs in the structure that the model gives them in."""

    def outputs(values, training=None):
        flat = [item["value"] for item in suffix(values, training=training)]
        packed = keras.tree.pack_sequence_as(model._outputs_struct, flat)
        return packed[0] if isinstance(packed, (list, tuple)) and len(packed) == 1 else packed

    return outputs
