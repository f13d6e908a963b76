"""Steps of an agent with their attributions as files: for a README, a talk, a paper, or Rerun."""

from sb3_explain.workflows.export.files import Exported as Exported
from sb3_explain.workflows.export.files import export as export
