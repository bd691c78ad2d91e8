"""What does a kubelet do: its settings, the eras of its code, what a container sees."""
