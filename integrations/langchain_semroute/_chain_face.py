"""What a runnable round a chain says of itself: all that the chain says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import Input, Output

if TYPE_CHECKING:
    from langchain_core.runnables.graph import Graph
    from langchain_core.runnables.utils import ConfigurableFieldSpec


class ChainFace(Runnable[Input, Output], Generic[Input, Output]):
    """The types, the schemas, the configuration and the graph of the chain inside."""

    runnable: Runnable[Input, Output]

    @property
    def InputType(self) -> Any:
        return self.runnable.InputType

    @property
    def OutputType(self) -> Any:
        return self.runnable.OutputType

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return self.runnable.config_specs

    def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
        return self.runnable.get_input_schema(config)

    def get_output_schema(self, config: RunnableConfig | None = None) -> Any:
        return self.runnable.get_output_schema(config)

    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        return self.runnable.get_graph(config)
