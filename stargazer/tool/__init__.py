"""Command-line tools: which versions are here, where GATK is and how it is started and installed."""

from stargazer.tool.identity import EMBEDDED_TOOLS, ToolIdentity, identify_tool, library_version

__all__ = ["EMBEDDED_TOOLS", "ToolIdentity", "identify_tool", "library_version"]
